-- The jwt plugin checks no issuer and allows no clock skew; it would accept a token without an expiry for ever.
local function fault(claims)
  local now = ngx.time()
  if type(claims) ~= "table" then
    return "the token cannot be read"
  elseif claims.iss ~= SETTINGS.issuer then
    return "the token's issuer is another one"
  elseif type(claims.exp) ~= "number" then
    return "the token has no end"
  elseif claims.exp + SETTINGS.clock_skew < now then
    return "the token has expired"
  elseif claims.nbf ~= nil and (type(claims.nbf) ~= "number" or claims.nbf - SETTINGS.clock_skew > now) then
    return "the token is not valid yet"
  end
end

return function()
  local payload = tostring(kong.ctx.shared.authenticated_jwt_token):match("^[^.]+%.([^.]+)%.")
  local claims = payload and decoded(payload)
  local found = fault(claims)
  if found then
    return kong.response.exit(401, { message = found }, { ["WWW-Authenticate"] = SETTINGS.challenge })
  elseif is_flood(consumer(claims)) then
    return refuse()
  end
end
