/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The detectors, in the order in which they look at an event. What they
 * remember is stored under their names, so the order may change.
 */
#include "detector.h"

#define DETECTOR(name, ...) &anomaly_##name,
const struct anomaly_detector *const anomaly_detectors[] = { DETECTORS };
#undef DETECTOR
const unsigned anomaly_detector_count =
    sizeof(anomaly_detectors) / sizeof(anomaly_detectors[0]);
