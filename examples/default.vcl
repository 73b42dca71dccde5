# A VCL with tenants in machines, to start from.
vcl 4.1;

import kvm;

# Nothing but tenants; add your other backends here.
backend default none;

sub vcl_init {
	kvm.tenants("/etc/varnish/tenants.toml");
}

sub vcl_recv {
	# For a load balancer's health check: have the programs booted?
	if (req.url == "/ready") {
		if (kvm.ready("shop") && kvm.ready("api")) {
			return (synth(200));
		}
		return (synth(503, "Booting"));
	}

	# State and counters of all tenants, for this host only.
	if (req.url == "/kvm-stats") {
		if (client.ip != "127.0.0.1") {
			return (synth(403));
		}
		return (synth(700));
	}
}

sub vcl_synth {
	if (resp.status == 700) {
		set resp.status = 200;
		set resp.http.Content-Type = "application/json";
		set resp.body = kvm.stats();
		return (deliver);
	}
}

# A tenant is a backend.  Everything else is ordinary VCL: what may be cached
# is, and a hit does not wake a machine.
sub vcl_backend_fetch {
	if (bereq.url ~ "^/api/") {
		set bereq.backend = kvm.deliver("api");
	} else {
		set bereq.backend = kvm.deliver("shop");
	}
}

# A program that crashed or took too long.  (Not ready, and no machine free,
# are answers of the backend with status 503 and Retry-After.)
sub vcl_backend_error {
	if (bereq.retries == 0 && (bereq.method == "GET" ||
	    bereq.method == "HEAD")) {
		return (retry);
	}
}
