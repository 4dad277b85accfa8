-- Kong serves its own made-up certificate to a client that names no server, as every client of an address does.
local ssl = require "ngx.ssl"
local certificates = require "kong.runloop.certificate"

return function()
  if ssl.server_name() then
    return
  end
  local pair = certificates.find_certificate("localhost")
  if pair and pair.cert and ssl.clear_certs() then
    ssl.set_cert(pair.cert)
    ssl.set_priv_key(pair.key)
  end
end
