//! `examples/frames.py` and `examples/console.py` where something is not as a newcomer thought: each says what.
#![cfg(all(unix, feature = "server", feature = "terminal"))]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use common::durable::Durable;
use common::programs::{Home, free_port};
use common::server_program::Ended;

fn start(home: &Home, name: &str, arguments: &[&str]) -> Child {
    let mut command = home.command("python3");
    command.arg(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A script with these arguments and this input; without one its input lasts as long as it runs.
fn script(home: &Home, name: &str, arguments: &[&str], input: Option<&str>) -> Ended {
    let mut child = start(home, name, arguments);
    let mut stdin = child.stdin.take();
    if let Some(input) = input {
        // One that has ended already reads nothing.
        let _ = stdin.take().unwrap().write_all(input.as_bytes());
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut err).unwrap();
    let status = child.wait().unwrap();
    drop(stdin);
    Ended::of(std::process::Output { status, stdout: out, stderr: err })
}

/// Says this to whoever connects, and then nothing.
fn greeter(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            stream.write_all(words).unwrap();
            kept.push(stream);
        }
    });
    port
}

/// A server in memory with a console port, which is the second of the two.
fn with_console(home: &Home) -> (Durable, String) {
    let mut server = home.start(&["--memory", "--console-port", "0"]);
    let mut line = String::new();
    server.out.read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().unwrap().to_owned();
    (server, port)
}

#[track_caller]
fn says(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.err.lines().count()), (Some(1), 1), "{ended:?}");
    for words in words {
        assert!(ended.err.contains(words), "{words:?} in {ended:?}");
    }
}

#[test]
fn frames_answers_the_end_of_its_input_by_closing() {
    let home = Home::new();
    let server = home.start(&["--memory"]);
    let mut child = start(&home, "frames.py", &[&format!("http://{}", server.at), "ann"]);
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{{\"type\":\"listusers\"}}").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "{\"from\":\"system\",\"body\":\"ann joined\"}");
    assert_eq!(lines.next().unwrap(), "{\"from\":\"system\",\"body\":\"ann\"}");
    drop(stdin);
    assert_eq!(lines.next().unwrap(), "closed: 1000");
    assert!(child.wait().unwrap().success());
}

#[test]
fn frames_says_what_a_refusal_says() {
    let home = Home::new();
    let server = home.start(&["--memory"]);
    let frames = |arguments: &[&str]| script(&home, "frames.py", arguments, None);
    let web = format!("http://{}", server.at);
    says(&frames(&[&web, "a b"]), &["frames.py: a nickname is a Latin letter", "(HTTP 403)"]);
    let socket = format!("ws://{}/ws", server.at);
    // Releases of the package before 13, Debian 12's among them, keep the status of a refusal alone.
    let mut whole = home.command("python3");
    whole.args(["-c", "import websockets.asyncio"]).stderr(Stdio::null());
    let words: &[_] = match whole.status().unwrap().success() {
        true => &["the token is missing, bad or expired", "(HTTP 401)"],
        false => &["HTTP 401"],
    };
    says(&frames(&[&socket, "no-token"]), words);
}

#[test]
fn frames_says_of_a_wrong_port_that_it_is_one() {
    let home = Home::new();
    let frames = |arguments: &[&str]| script(&home, "frames.py", arguments, None);
    let port = greeter(b"Hello %username%!\n");
    says(&frames(&[&format!("http://127.0.0.1:{port}"), "ann"]), &["is no room server; that is at port 7000", "Hello"]);
    let (_server, console) = with_console(&home);
    says(&frames(&[&format!("ws://127.0.0.1:{console}/")]), &["speaks no WebSocket: "]);
    let home_page = greeter(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
    says(&frames(&[&format!("http://127.0.0.1:{home_page}"), "ann"]), &["is no room server", "HTTP 405"]);
    let nobody = free_port();
    says(&frames(&[&format!("http://127.0.0.1:{nobody}"), "ann"]), &["does not answer: "]);
    says(&frames(&[&format!("ws://127.0.0.1:{nobody}/")]), &["does not answer: "]);
    says(&frames(&["127.0.0.1:7000", "ann"]), &["begins neither with http:// nor with ws://"]);
}

#[test]
fn console_says_why_it_was_closed() {
    let home = Home::new();
    let (server, port) = with_console(&home);
    let console = |name: &str, input| script(&home, "console.py", &["127.0.0.1", &port, name], input);
    // Its own wish, by word or by the end of the input.
    for input in ["cmd!participants_count\ncmd!client_exit\n", "cmd!participants_count\n"] {
        let ended = console("ann", Some(input));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.ends_with("\"Participants count: 1\"}\nclosed\n"), "{ended:?}");
    }
    says(&console("system", None), &["closed before anything was heard: the name is none or reserved"]);
    let web = server.port.to_string();
    let ended = script(&home, "console.py", &["127.0.0.1", &web, "ann"], None);
    says(&ended, &["is no console port (9009): it says 'HTTP/1.1 400 Bad Request'"]);
    let minechat = greeter(b"Hello %username%!\nEnter your personal hash\n").to_string();
    let ended = script(&home, "console.py", &["127.0.0.1", &minechat, "ann"], None);
    says(&ended, &["is no console port (9009): it says 'Hello %username%!'"]);
}

#[test]
fn console_says_that_the_server_stopped() {
    let home = Home::new();
    let (server, port) = with_console(&home);
    let mut child = start(&home, "console.py", &["127.0.0.1", &port, "ann"]);
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "cmd!participants_count").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("Participants count: 1"));
    server.signal("TERM");
    assert_eq!(lines.next().unwrap(), "closed: the server stops, or cannot read what was sent");
    assert!(child.wait().unwrap().success());
}
