local JSON = require "cjson.safe"

-- What a part of a token holds; nil if it holds nothing.
local function decoded(part)
  local text = part:gsub("-", "+"):gsub("_", "/")
  return JSON.decode(ngx.decode_base64(text .. ("="):rep(-#text % 4)) or "")
end
