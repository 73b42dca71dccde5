// SPDX-License-Identifier: BSD-2-Clause
// A thread per connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static TICKS: AtomicUsize = AtomicUsize::new(0);

fn answer(path: &str) -> String {
    if path == "/time" {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        return format!("{} {}\n", now.as_millis(),
            TICKS.load(Ordering::SeqCst));
    }
    format!("hello {}\n", COUNT.fetch_add(1, Ordering::SeqCst) + 1)
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let body = answer(first.split(' ').nth(1).unwrap_or(""));
        let all = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
            body.len(), body);
        stream.write_all(all.as_bytes())?;
    }
}

fn main() {
    let port = std::env::args().nth(1).unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{}", port)).unwrap();
    thread::spawn(|| loop {
        thread::sleep(Duration::from_secs(1));
        TICKS.fetch_add(1, Ordering::SeqCst);
    });
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        thread::spawn(move || serve(stream));
    }
}
