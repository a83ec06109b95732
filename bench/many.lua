-- SPDX-License-Identifier: Apache-2.0
-- One POST to a path and as somebody taken at random; counts what was not a success.
-- wrk … -s bench/many.lua URL -- PATHS_FILE TOKENS_FILE BODY_FILE
local function lines(name)
	local all = {}
	for line in io.lines(name) do
		all[#all + 1] = line
	end
	return all
end
local paths, bearers, body
function init(args)
	paths, bearers = lines(args[1]), lines(args[2])
	body = io.open(args[3]):read("*a")
	wrk.headers["Content-Type"] = "application/json"
	for i = 1, #bearers do
		bearers[i] = "Bearer " .. bearers[i]
	end
	math.randomseed(1)
end
function request()
	wrk.headers["Authorization"] = bearers[math.random(#bearers)]
	return wrk.format("POST", paths[math.random(#paths)], nil, body)
end
function done(summary, latency, requests)
	io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99), summary.errors.status,
		summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
