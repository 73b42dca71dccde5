# SPDX-License-Identifier: BSD-2-Clause
"""Django's own server, a thread for each connection, with a counter in SQLite.
Each thread has a connection to the database, on a file in memory."""
import os
import sys
import time

from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection
from django.http import HttpResponse
from django.urls import path

FILE = "/dev/shm/tkvm-django-%s.db" % sys.argv[1]

settings.configure(
    SECRET_KEY="none", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3",
                           "NAME": FILE, "OPTIONS": {"timeout": 1}}},
    LOGGING_CONFIG=None)


def index(_):
    with connection.cursor() as c:
        c.execute("insert into t values (1)")
        c.execute("select count(*) from t")
        return HttpResponse("hello %d\n" % c.fetchone())


def now(_):
    return HttpResponse("%d 0\n" % (time.time() * 1000))


urlpatterns = [path("", index), path("time", now)]

if os.path.exists(FILE):
    os.unlink(FILE)
with connection.cursor() as cursor:
    cursor.execute("create table t (x)")
execute_from_command_line(["manage.py", "runserver", "--noreload",
                           "127.0.0.1:" + sys.argv[1]])
