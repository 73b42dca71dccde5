# SPDX-License-Identifier: BSD-2-Clause
use strict;
use warnings;
use HTTP::Daemon;
use HTTP::Response;
use Time::HiRes;

my $count = 0;
my $daemon = HTTP::Daemon->new(LocalAddr => '127.0.0.1',
    LocalPort => $ARGV[0], ReuseAddr => 1) or die "listen: $!";
while (my $client = $daemon->accept) {
	while (my $request = $client->get_request) {
		my $response = HTTP::Response->new(200);
		$response->content($request->uri->path eq '/time' ?
		    int(Time::HiRes::time() * 1000) . " 0\n" :
		    'hello ' . ++$count . "\n");
		$client->send_response($response);
	}
	$client->close;
}
