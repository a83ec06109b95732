-- SPDX-License-Identifier: Apache-2.0
-- A mix at a steady rate; counts what was not a success.
-- wrk … -s bench/mixed.lua URL -- MIX_FILE TOKEN_FILE DELAY_MS
-- MIX_FILE: a line a request: weight, method, path, body (tabs between them).
local requests, weights, total, wait_ms = {}, {}, 0, 0
function init(args)
	local token = io.open(args[2]):read("*l")
	for line in io.lines(args[1]) do
		local weight, method, path, body = line:match("^(%d+)\t(%u+)\t(%S+)\t(.*)$")
		total = total + tonumber(weight)
		weights[#weights + 1] = total
		requests[#requests + 1] = wrk.format(method, path, { ["Authorization"] = "Bearer " .. token,
			["Content-Type"] = "application/json" }, body ~= "" and body or nil)
	end
	wait_ms = tonumber(args[3])
	math.randomseed(1)
end
function request()
	local at = math.random(total)
	for i = 1, #weights do
		if at <= weights[i] then
			return requests[i]
		end
	end
end
-- On both sides of the middle, so that the connections do not march in step.
function delay()
	return math.random(0, 2 * wait_ms)
end
function done(summary, latency, requests)
	io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99), summary.errors.status,
		summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
