# tkvm.m4 - what ./configure checks for libvmod-kvm.    -*- Autoconf -*-
#
# SPDX-License-Identifier: BSD-2-Clause

# TKVM_CHECK_HOST
# ---------------
# The machine layer exists for x86-64 Linux only, so far.
AC_DEFUN([TKVM_CHECK_HOST], [
	AC_REQUIRE([AC_CANONICAL_HOST])
	AS_CASE([$host],
	    [x86_64-*-linux-gnux32],
		[AC_MSG_ERROR([the x32 ABI is not supported; use x86-64])],
	    [x86_64-*-linux*], [],
	    [AC_MSG_ERROR([$host is not supported: libvmod-kvm runs on x86-64 Linux only])])
])

# TKVM_CHECK_FETCH_API
# --------------------
# The director answers fetches itself, which takes cache_varnishd.h.
AC_DEFUN([TKVM_CHECK_FETCH_API], [
	tkvm_save_CPPFLAGS=$CPPFLAGS
	CPPFLAGS="$CPPFLAGS $VARNISHAPI_CFLAGS"
	AC_CHECK_HEADER([cache/cache_varnishd.h], [],
	    [AC_MSG_ERROR([cache/cache_varnishd.h is missing; on Debian: apt-get install libvarnishapi-dev])])
	CPPFLAGS=$tkvm_save_CPPFLAGS
])

# TKVM_ARG_SANITIZERS
# -------------------
# For everything of ours that runs on the host; never for the guest's code.
AC_DEFUN([TKVM_ARG_SANITIZERS], [
	AC_ARG_ENABLE([asan],
	    [AS_HELP_STRING([--enable-asan], [build with AddressSanitizer])],
	    [], [enable_asan=no])
	AC_ARG_ENABLE([ubsan],
	    [AS_HELP_STRING([--enable-ubsan],
		[build with UndefinedBehaviorSanitizer; findings are fatal])],
	    [], [enable_ubsan=no])

	SAN_CFLAGS=
	SAN_LIBS=
	SAN_PRELOAD=
	AS_IF([test "$enable_asan" != no], [
		SAN_CFLAGS="-fsanitize=address -fno-omit-frame-pointer"
		# varnishd is not built with it, so that the run-time
		# library has to be there before our VMOD is.
		AS_CASE([$($CC --version)],
		    [*clang*], [tkvm_asan=libclang_rt.asan-x86_64.so
			SAN_CFLAGS="$SAN_CFLAGS -shared-libasan"],
		    [tkvm_asan=libasan.so])
		SAN_PRELOAD=$($CC -print-file-name=$tkvm_asan)
	])
	AS_IF([test "$enable_ubsan" != no], [
		SAN_CFLAGS="$SAN_CFLAGS -fsanitize=undefined -fno-sanitize-recover=all"
		# libtool links C++ with -nostdlib, which drops gcc's.
		AS_CASE([$($CC --version)], [*clang*], [], [SAN_LIBS=-lubsan])
	])
	AC_ARG_ENABLE([fuzz],
	    [AS_HELP_STRING([--enable-fuzz],
		[build for tests/fuzz: clang, libFuzzer, ASan and UBSan])],
	    [], [enable_fuzz=no])
	AS_IF([test "$enable_fuzz" != no], [
		SAN_CFLAGS="-fsanitize=fuzzer-no-link,address,undefined -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
		SAN_CFLAGS="$SAN_CFLAGS -fno-sanitize-recover=all"
		SAN_CFLAGS="$SAN_CFLAGS -fno-omit-frame-pointer"
		SAN_LIBS= SAN_PRELOAD=
	])
	AS_IF([test -n "$SAN_CFLAGS"], [
		AC_MSG_CHECKING([whether $CC takes $SAN_CFLAGS])
		tkvm_save_CFLAGS=$CFLAGS
		CFLAGS="$CFLAGS $SAN_CFLAGS"
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		    [AC_MSG_RESULT([yes])],
		    [AC_MSG_RESULT([no])
		     AC_MSG_ERROR([the compiler's sanitizer libraries are missing])])
		CFLAGS=$tkvm_save_CFLAGS
	])
	AC_SUBST([SAN_CFLAGS])
	AC_SUBST([SAN_LIBS])
	AC_SUBST([SAN_PRELOAD])
	AM_CONDITIONAL([WITH_ASAN], [test "$enable_asan" != no])
])

# TKVM_ARG_WERROR
# ---------------
AC_DEFUN([TKVM_ARG_WERROR], [
	AC_ARG_ENABLE([werror],
	    [AS_HELP_STRING([--enable-werror],
		[treat warnings as errors (for developers)])],
	    [], [enable_werror=no])
	WERROR_CFLAGS=
	AS_IF([test "$enable_werror" != no], [WERROR_CFLAGS=-Werror])
	AC_SUBST([WERROR_CFLAGS])
])

# TKVM_ADD_WARNINGS(VARIABLE, LANGUAGE, FLAGS)
# --------------------------------------------
# Those of FLAGS that the compiler knows.
AC_DEFUN([TKVM_ADD_WARNINGS], [
	AC_LANG_PUSH([$2])
	m4_foreach_w([tkvm_flag], [$3], [
		AC_MSG_CHECKING([whether the _AC_LANG compiler takes tkvm_flag])
		tkvm_save_flags=$[]_AC_LANG_PREFIX[]FLAGS
		_AC_LANG_PREFIX[]FLAGS="$[]_AC_LANG_PREFIX[]FLAGS -Werror tkvm_flag"
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([int tkvm_x;])],
		    [AC_MSG_RESULT([yes])
		     $1="$[]$1 tkvm_flag"],
		    [AC_MSG_RESULT([no])])
		_AC_LANG_PREFIX[]FLAGS=$tkvm_save_flags
	])
	AC_LANG_POP([$2])
])

# TKVM_BLOB_FLAGS
# ---------------
# BLOB_CFLAGS: for code that runs inside the virtual machine, without libc,
# without vector registers, without a red zone.  CFLAGS stay out of it.
AC_DEFUN([TKVM_BLOB_FLAGS], [
	BLOB_CFLAGS="-O2 -g0 -ffreestanding -fno-stack-protector -mgeneral-regs-only -mno-red-zone"
	tkvm_save_CFLAGS=$CFLAGS
	for tkvm_flag in -fcf-protection=none -fno-asynchronous-unwind-tables \
	    -fno-tree-loop-distribute-patterns -fno-strict-aliasing -std=gnu11
	do
		CFLAGS="-Werror $BLOB_CFLAGS $tkvm_flag"
		AC_COMPILE_IFELSE([AC_LANG_SOURCE([int tkvm_x;])],
		    [BLOB_CFLAGS="$BLOB_CFLAGS $tkvm_flag"])
	done
	CFLAGS=$tkvm_save_CFLAGS
	AC_MSG_CHECKING([for the flags of the guest blob])
	AC_MSG_RESULT([$BLOB_CFLAGS])
	AC_SUBST([BLOB_CFLAGS])
])

# TKVM_HTTP_PARSER
# ----------------
# llhttp where there is one, else its predecessor.
AC_DEFUN([TKVM_HTTP_PARSER], [
	http_parser=no
	AC_CHECK_HEADER([llhttp.h], [
		AC_CHECK_LIB([llhttp], [llhttp_init], [http_parser=llhttp])
	])
	AS_IF([test "$http_parser" = no], [
		AC_CHECK_HEADER([http_parser.h], [
			AC_CHECK_LIB([http_parser], [http_parser_init],
			    [http_parser=http_parser])
		])
	])
	AS_CASE([$http_parser],
	    [llhttp], [
		AC_DEFINE([HAVE_LLHTTP], [1], [Use llhttp, not http_parser])
		HTTP_PARSER_CFLAGS=-DHAVE_LLHTTP=1
		HTTP_PARSER_LIBS=-lllhttp],
	    [http_parser], [
		HTTP_PARSER_CFLAGS=
		HTTP_PARSER_LIBS=-lhttp_parser],
	    [AC_MSG_ERROR([no HTTP parser; on Debian: apt-get install libhttp-parser-dev (or libllhttp-dev)])])
	AC_SUBST([HTTP_PARSER_CFLAGS])
	AC_SUBST([HTTP_PARSER_LIBS])
])

# TKVM_TOMLPLUSPLUS
# -----------------
# Headers only: that keeps one more shared library out of varnishd.
AC_DEFUN([TKVM_TOMLPLUSPLUS], [
	AC_LANG_PUSH([C++])
	tkvm_save_CXXFLAGS=$CXXFLAGS
	TOML_CXXFLAGS=-std=c++17
	CXXFLAGS="$CXXFLAGS $TOML_CXXFLAGS"
	AC_MSG_CHECKING([for toml++ 3])
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM([
		[#define TOML_EXCEPTIONS 0]
		[#include <toml++/toml.h>]
		[#if TOML_LIB_MAJOR < 3]
		[#error too old]
		[#endif]
	], [[return (toml::parse("a = 1").failed());]])],
	    [AC_MSG_RESULT([yes])],
	    [AC_MSG_RESULT([no])
	     AC_MSG_ERROR([toml++ 3 is missing; on Debian: apt-get install libtomlplusplus-dev])])
	CXXFLAGS=$tkvm_save_CXXFLAGS
	AC_SUBST([TOML_CXXFLAGS])
	AC_LANG_POP([C++])
])
