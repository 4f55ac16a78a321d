-- Turns wrk into a POST client; the body comes in the environment so that it stands in one place only.
local body = os.getenv('BENCH_BODY')
if body and body ~= '' then
  wrk.method = 'POST'
  wrk.body = body
  wrk.headers['Content-Type'] = 'application/json'
end

done = function(summary, latency)
  local failures = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format('\nRESULT {"requests":%d,"seconds":%.6f,"p50Ms":%.3f,"p99Ms":%.3f,"failures":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000, failures))
end
