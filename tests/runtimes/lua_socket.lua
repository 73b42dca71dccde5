-- SPDX-License-Identifier: BSD-2-Clause
local socket = require "socket"
local count = 0
local server = assert(socket.bind("127.0.0.1", tonumber(arg[1])))

local function serve(client)
	local first = client:receive()
	if not first then
		return false
	end
	repeat
		local line = client:receive()
	until not line or line == ""
	local body
	if first:match("^GET /time ") then
		body = string.format("%d 0\n", math.floor(socket.gettime() * 1000))
	else
		count = count + 1
		body = "hello " .. count .. "\n"
	end
	client:send("HTTP/1.1 200 OK\r\nContent-Length: " .. #body ..
	    "\r\n\r\n" .. body)
	return true
end

while true do
	local client = server:accept()
	if client then
		while serve(client) do end
		client:close()
	end
end
