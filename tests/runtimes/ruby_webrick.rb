# SPDX-License-Identifier: BSD-2-Clause
# Ruby's own server: a thread for each connection.
require 'webrick'

count = 0
ticks = 0
Thread.new { loop { sleep 1; ticks += 1 } }
server = WEBrick::HTTPServer.new(
  BindAddress: '127.0.0.1', Port: ARGV[0].to_i, AccessLog: [],
  Logger: WEBrick::Log.new(File::NULL)
)
server.mount_proc('/') do |request, response|
  response.content_type = 'text/plain'
  response.body = if request.path == '/time'
                    "#{(Time.now.to_f * 1000).to_i} #{ticks}\n"
                  else
                    "hello #{count += 1}\n"
                  end
end
server.start
