-- SPDX-License-Identifier: Apache-2.0
-- One POST again and again; counts what was not a success.
-- wrk … -s bench/request.lua URL -- PATH TOKEN_FILE BODY_FILE [NAME=VALUE]…
local bad = 0
function init(args)
	local token = io.open(args[2]):read("*l")
	local body = io.open(args[3]):read("*a")
	wrk.method = "POST"
	wrk.path = args[1]
	wrk.body = body
	wrk.headers["Authorization"] = "Bearer " .. token
	wrk.headers["Content-Type"] = "application/json"
	for i = 4, #args do
		local name, value = args[i]:match("^([^=]*)=(.*)$")
		wrk.headers[name] = value
	end
	request_text = wrk.format()
end
function request()
	return request_text
end
function done(summary, latency, requests)
	io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
		latency:percentile(50), latency:percentile(99), summary.errors.status,
		summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
