-- The calls that wrk sends, and whether each ended as it should. Argument: the folder that load.py has filled.
-- wrk alone would count any HTTP 200, and a gRPC call that fails is one.

local threads = {} -- load.py asks for one

local function read(folder, name)
  local file = io.open(folder .. "/" .. name, "rb")
  if not file then return nil end
  local content = file:read("*a")
  file:close()
  return content
end

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local folder = arguments[1]
  wrong = 0
  first_wrong = ""
  overdrawn = 0
  ending = read(folder, "ending")
  wrk.method = "POST"
  wrk.body = read(folder, "body")
  for name, value in read(folder, "headers"):gmatch("([^\n:]+): ([^\n]+)\n") do
    wrk.headers[name] = value
  end
  local list = read(folder, "tokens")
  if list then
    local tokens, used = {}, 0
    for token in list:gmatch("[^\n]+") do
      table.insert(tokens, token)
    end
    request = function()
      used = used + 1
      if used > #tokens then overdrawn = overdrawn + 1 end
      wrk.headers["authorization"] = "Bearer " .. tokens[(used - 1) % #tokens + 1]
      return wrk.format()
    end
  end
end

function response(status, headers, body)
  if status ~= 200 or not body:find(ending, math.max(1, #body - 512), true) then
    wrong = wrong + 1
    if wrong == 1 then
      first_wrong = "HTTP " .. status .. ", " .. body:sub(-120):gsub('[^%w%p ]', " "):gsub('["\\]', "'")
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  local thread = threads[1]
  io.write(string.format(
    '{"calls": %d, "microseconds": %d, "p50": %d, "p99": %d, "overdrawn": %d, ' ..
    '"wrong": %d, "first_wrong": "%s", "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), thread:get("overdrawn"),
    thread:get("wrong"), thread:get("first_wrong"), errors.connect, errors.read, errors.write, errors.timeout))
end
