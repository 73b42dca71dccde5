vcl 4.1;

# What `amdv` loads in the emulated machine.

import kvm;

backend native { .path = "/tmp/b"; }

sub vcl_init {
	kvm.tenants("/tmp/tenants.toml");
}

sub vcl_recv {
	if (req.http.way == "synth") {
		return (synth(700));
	}
	if (req.http.way == "none") {
		return (synth(200));
	}
	return (pass);
}

sub vcl_backend_fetch {
	if (bereq.http.way == "deliver") {
		set bereq.backend = kvm.deliver("c");
	} else {
		set bereq.backend = native;
	}
}

sub vcl_synth {
	if (resp.status == 700 && !kvm.synth("c")) {
		set resp.status = 503;
	}
	return (deliver);
}
