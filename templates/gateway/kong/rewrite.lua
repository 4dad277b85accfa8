-- Before a route is looked for: what can be read in two ways is refused, what only services may say is dropped.
local function is_dropped(name)
  for _, prefix in ipairs(SETTINGS.dropped_prefixes) do
    if name:sub(1, #prefix) == prefix then
      return true
    end
  end
  return SETTINGS.dropped[name]
end

-- The claims of a token; nil for one that the jwt plugin did not expect and would fail on, or whose claim would choose
-- the key before the head does.
local function claims_of(value)
  local head, payload = value:match("^Bearer +([%w_-]+)%.([%w_-]+)%.[%w_-]+$")
  if not head then
    return
  end
  head, payload = decoded(head), decoded(payload)
  if type(head) == "table" and type(head.kid) == "string" and type(payload) == "table" and payload.kid == nil then
    return payload
  end
end

-- RFC 9110, 11.1: the name of a scheme has no case. The jwt plugin takes `Bearer` and `bearer` alone.
local function with_plain_scheme(value)
  return type(value) == "string" and value:gsub("^[Bb][Ee][Aa][Rr][Ee][Rr] ", "Bearer ", 1) or value
end

local function check_token(value)
  local plain = with_plain_scheme(value)
  local claims = claims_of(plain)
  kong.ctx.plugin.claimed = claims and consumer(claims)
  if not claims then
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
end
