-- Before a route is looked for: what can be read in two ways is refused, what only services may say is dropped, and a
-- flood costs no signature check.
local bucket = ngx.shared.kong_rate_limiting_counters
local interval = SETTINGS.limit.seconds / SETTINGS.limit.requests
local capacity = SETTINGS.limit.burst * interval

local function is_dropped(name)
  for _, prefix in ipairs(SETTINGS.dropped_prefixes) do
    if name:sub(1, #prefix) == prefix then
      return true
    end
  end
  return SETTINGS.dropped[name]
end

-- The jwt plugin fails on one that it did not expect, and would let a claim choose the key before the head does.
local function is_token(value)
  local head, payload = value:match("^Bearer +([%w_-]+)%.([%w_-]+)%.[%w_-]+$")
  if not head then
    return false
  end
  head, payload = decoded(head), decoded(payload)
  return type(head) == "table" and type(head.kid) == "string" and type(payload) == "table" and payload.kid == nil
end

-- RFC 9110, 11.1: the name of a scheme has no case. The jwt plugin takes `Bearer` and `bearer` alone.
local function with_plain_scheme(value)
  return type(value) == "string" and value:gsub("^[Bb][Ee][Aa][Rr][Ee][Rr] ", "Bearer ", 1) or value
end

local function check_token(value)
  local plain = with_plain_scheme(value)
  if not is_token(plain) then
    ngx.req.clear_header("authorization")
  elseif plain ~= value then
    ngx.req.set_header("Authorization", plain)
  end
end

-- One name, one reading: to some servers `X_A` and `X-A` are the same header.
local function check_headers(headers)
  local ambiguous
  for name, value in pairs(headers) do
    if SETTINGS.ambiguous[name] or (SETTINGS.single[name] and type(value) == "table") then
      ambiguous = true
    elseif is_dropped(name) or name:find("_", 1, true) then
      ngx.req.clear_header(name)
    elseif name == "authorization" then
      check_token(value)
    end
  end
  return ambiguous
end

local function is_whole(text, pattern)
  return type(text) == "string" and ngx.re.find(text, "^(?:" .. pattern .. ")\\z", "jo") ~= nil
end

-- The generic cell rate algorithm: all that is kept is when the bucket will be full again.
local function is_flood()
  local now = ngx.now()
  local full_again = math.max(bucket:get("ragops") or 0, now) + interval
  local refused = full_again - now > capacity
  if refused then
    full_again = full_again - interval
  else
    bucket:set("ragops", full_again)
  end
  kong.ctx.plugin.limit = {
    remaining = math.floor((capacity - (full_again - now)) / interval + 0.001),
    reset = math.ceil(full_again - now),
    refused = refused,
  }
  return refused
end

-- A name that was not found Kong asks for again after 30 s, and has no setting for that: an API that is started again
-- would be refused for so long. The balancer is made again with every configuration.
local found, balancers = pcall(require, "kong.runloop.balancer.balancers")

local function ask_again_soon()
  local own = found and balancers.get_balancer_by_id(SETTINGS.upstream)
  if own then
    own.requeryInterval = 1
  end
end

return function()
  ask_again_soon()
  local headers, truncated = ngx.req.get_headers(SETTINGS.max_headers)
  local asked = headers["x-request-id"]
  local id = asked or ngx.var.kong_request_id
  local odd = check_headers(headers) or not is_whole(id, SETTINGS.request_id)
  kong.ctx.plugin.id = odd and ngx.var.kong_request_id or id
  ngx.req.set_header("X-Request-ID", kong.ctx.plugin.id)
  if truncated then
    return kong.response.exit(431, { message = "too many headers" })
  end
  local path = kong.request.get_path()
  if odd or not is_whole(path, SETTINGS.path) then
    return kong.response.exit(400, { message = "ambiguous" })
  end
  kong.ctx.plugin.ready = path == SETTINGS.ready
  if not kong.ctx.plugin.ready and is_flood() then
    return kong.response.exit(429, { message = "flood" })
  end
end
