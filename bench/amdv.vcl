vcl 4.1;

# What `amdv` loads in the emulated machine.

import kvm;

backend native { .path = "/tmp/b"; }

C{
extern const struct vdi_methods nothing_methods[];	/* nothing.c */
static VCL_BACKEND nothing;
}C

sub vcl_init {
	kvm.tenants("/tmp/tenants.toml");
	C{
		nothing = VRT_AddDirector(ctx, nothing_methods, NULL, "nothing");
	}C
}

sub vcl_fini {
	C{
		VRT_DelDirector(&nothing);
	}C
}

sub vcl_recv {
	if (req.http.way == "synth") {
		return (synth(700));
	}
	if (req.http.way == "synth-warm") {
		return (synth(701));
	}
	if (req.http.way == "none") {
		return (synth(200));
	}
	return (pass);
}

sub vcl_backend_fetch {
	if (bereq.http.way == "deliver") {
		set bereq.backend = kvm.deliver("c");
	} elsif (bereq.http.way == "deliver-warm") {
		set bereq.backend = kvm.deliver("w");
	} elsif (bereq.http.way == "empty") {
		C{
			VRT_l_bereq_backend(ctx, nothing);
		}C
	} else {
		set bereq.backend = native;
	}
}

sub vcl_synth {
	if (resp.status == 700 && !kvm.synth("c")) {
		set resp.status = 503;
	}
	if (resp.status == 701 && !kvm.synth("w")) {
		set resp.status = 503;
	}
	return (deliver);
}
