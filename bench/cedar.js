// SPDX-License-Identifier: Apache-2.0
// The decisions of bench/micro/cedar_decide.c by the reference, in WebAssembly: the same policies, parsed before; the
// entities of each request, a handful, come with it, since that is how this interface takes them.
//   NODE_PATH=… node bench/cedar.js      (bench/cedar.py does)
'use strict';
const cedar = require('@cedar-policy/cedar-wasm/nodejs');
const OF_AN_AGENT = 10, GROUPS = 10, KEYS = 64, RUN_MS = 200, RUNS = 10;
const uid = (type, id) => ({ type: 'Aegis::' + type, id: String(id) });

function policies(count) {
    let text = '';
    for (let i = 0; i < count; i++)
        text += `permit(principal == Aegis::Agent::"${Math.floor(i / OF_AN_AGENT)}", action in ` +
            'Aegis::Action::"use", resource in Aegis::Group::"all") when { resource.state == "active" && ' +
            `context.risk < ${50 + i} };\n`;
    return text;
}

function call(agent) {
    const key = agent % KEYS;
    return { principal: uid('Agent', agent), action: uid('Action', 'sign'), resource: uid('Key', key),
        context: { risk: 10 }, preparsedPolicySetId: 'set', validateRequest: false, entities: [
            { uid: uid('Agent', agent), attrs: {}, parents: [] },
            { uid: uid('Key', key), attrs: { state: 'active' }, parents: [uid('Group', key % GROUPS)] },
            { uid: uid('Group', key % GROUPS), attrs: {}, parents: [uid('Group', 'all')] },
            { uid: uid('Group', 'all'), attrs: {}, parents: [] },
            { uid: uid('Action', 'sign'), attrs: {}, parents: [uid('Action', 'use')] },
            { uid: uid('Action', 'use'), attrs: {}, parents: [] }] };
}

for (let count = 1; count <= 10000; count *= 10) {
    const parsed = cedar.preparsePolicySet('set', { staticPolicies: policies(count) });
    if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed));
    const agents = Math.ceil(count / OF_AN_AGENT), calls = [];
    for (let i = 0; i < agents; i++) calls.push(call(i));
    let best = Infinity, n = 0;
    for (let run = 0; run < RUNS; run++) {
        const begin = process.hrtime.bigint(), end = begin + BigInt(RUN_MS * 1e6);
        let turns = 0, now = begin;
        for (; now < end; now = process.hrtime.bigint(), turns++) {
            const answer = cedar.statefulIsAuthorized(calls[n++ * 7 % agents]);
            if (answer.type !== 'success' || answer.response.decision !== 'allow')
                throw new Error(JSON.stringify(answer));
        }
        best = Math.min(best, Number(now - begin) / 1e3 / turns);
    }
    console.log(`${count} ${best.toFixed(2)}`);
}
