-- One bucket for each consumer, and one for each address from which no token comes.
local buckets = ngx.shared.kong_rate_limiting_counters
local interval = SETTINGS.limit.seconds / SETTINGS.limit.requests
local capacity = SETTINGS.limit.burst * interval

-- A token without a name shares a bucket with its like.
local function consumer(claims)
  return "ragops:consumer:" .. (type(claims.sub) == "string" and claims.sub or "-")
end

-- Of IPv6 the network, which one client has for itself.
local function address()
  local bytes = ngx.var.binary_remote_addr
  return "ragops:address:" .. (#bytes == 4 and bytes or bytes:sub(1, SETTINGS.limit.ipv6_prefix / 8))
end

-- The generic cell rate algorithm: all that is kept is when a bucket will be full again, and that until then.
local function is_flood(name)
  local now = ngx.now()
  local full_again = math.max(buckets:get(name) or 0, now) + interval
  local refused = full_again - now > capacity
  if refused then
    full_again = full_again - interval
  else
    buckets:set(name, full_again, full_again - now + 1)
  end
  kong.ctx.shared.ragops_limit = {
    remaining = math.floor((capacity - (full_again - now)) / interval + 0.001),
    reset = math.ceil(full_again - now),
    refused = refused,
  }
  return refused
end

-- Whether the bucket is empty, which counts as no request; then the answer is that of `is_flood`.
local function is_empty(name)
  return (buckets:get(name) or 0) + interval - ngx.now() > capacity and is_flood(name)
end

local function refuse()
  return kong.response.exit(429, { message = "flood" })
end
