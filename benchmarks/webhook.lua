-- wrk: posts each line of a file in turn, as an API server does.
local requests, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local headers = { ["Content-Type"] = "application/json" }
    requests[#requests + 1] = wrk.format("POST", "/validate?timeout=10s", headers, line)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
