use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Room for one connection from each address.
fn one() -> Connections {
    let mut limits = Limits::default();
    limits.connections_per_address = 1;
    Connections::of(&limits)
}

#[test]
fn a_bare_refusal_gets_a_body_and_what_came_before_it_stays() {
    let before = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
    let bare =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
    let whole = give_a_body(&[&before[..], bare].concat()).unwrap();
    let text = std::str::from_utf8(&whole).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOKHTTP/1.1 431 "), "{text}");
    assert!(text.contains("\"status\":431"), "{text}");
}

#[test]
fn other_answers_stay_as_they_are() {
    for other in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"\r\n\r\n",
        b"",
    ] {
        assert_eq!(give_a_body(other), None);
    }
}

/// Takes every upgrade and holds the connection.
#[derive(Clone)]
struct Holding(tokio::sync::mpsc::Sender<Upgraded>);

impl Handler for Holding {
    async fn handle(&self, mut request: Request<Incoming>, _from: SocketAddr) -> Answer {
        let (upgrade, hold) = (Upgrade::of(&mut request), self.0.clone());
        tokio::spawn(async move { hold.send(upgrade.wait().await.unwrap()).await });
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer
    }
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place_until_it_ends() {
    let ip = "192.0.2.1".parse().unwrap();
    let connections = one();
    let place = Arc::new(connections.enter(ip).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, from) = listener.accept().await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    let (hold, mut held) = tokio::sync::mpsc::channel(1);
    serve_connection(stream, from, place, Holding(hold), &Limits::default(), &CancellationToken::new()).await;
    let upgraded = held.recv().await.unwrap();
    assert!(connections.enter(ip).is_none());
    drop(upgraded);
    assert!(connections.enter(ip).is_some());
}
#[tokio::test]
async fn a_connection_counts_for_its_address_until_its_socket_is_closed() {
    let ip = "192.0.2.1".parse().unwrap();
    let connections = one();
    let place = Arc::new(connections.enter(ip).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, from) = listener.accept().await.unwrap();
    client.write_all(b"no request at all\r\n\r\n").await.unwrap();
    let (hold, _held) = tokio::sync::mpsc::channel(1);
    let (limits, stop) = (Limits::default(), CancellationToken::new());
    let served = serve_connection(stream, from, place, Holding(hold), &limits, &stop);
    let heard = async {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        // The server has said its last word and reads on.
        assert!(connections.enter(ip).is_none());
        drop(client);
    };
    tokio::join!(served, heard);
    assert!(connections.enter(ip).is_some());
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_flood_over_the_limit_most_are_closed_without_a_word() {
    let mut limits = Limits::default();
    (limits.connections_per_address, limits.loopback_exempt) = (1, false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, (hold, _held)) = (CancellationToken::new(), tokio::sync::mpsc::channel(1));
    let serving = tokio::spawn(serve(listener, Holding(hold), Arc::new(limits), stop.clone()));
    let mut open = Vec::new();
    for _ in 0..20 * MOST_FAREWELLS {
        open.push(TcpStream::connect(at).await.unwrap());
    }
    let (mut told, mut untold) = (0, 0);
    for stream in &mut open[1..] {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let count = if answer.starts_with(b"HTTP/1.1 429 ") { &mut told } else { &mut untold };
        *count += 1;
    }
    assert!(told >= MOST_FAREWELLS && untold > 0, "{told} told, {untold} not");
    drop(open);
    stop.cancel();
    serving.await.unwrap();
}

/// Answers `/long` with more than the socket of the test takes, and everything else when its body is there.
#[derive(Clone)]
struct Long(Arc<Limits>);

impl Handler for Long {
    async fn handle(&self, request: Request<Incoming>, _from: SocketAddr) -> Answer {
        if request.uri().path() == "/long" {
            return answer(StatusCode::OK, "text/plain", vec![b'#'; LONG]);
        }
        let read = read_body(request.into_body(), &self.0).await;
        read.map_or_else(Answer::from, |body| answer(StatusCode::OK, "text/plain", body))
    }
}

const LONG: usize = 60_000;

#[tokio::test]
async fn a_body_behind_an_answer_that_is_read_slowly_has_the_time_of_a_body() {
    let mut limits = Limits::default();
    limits.head_timeout = Duration::from_millis(300);
    let limits = Arc::new(limits);
    let place = Arc::new(one().enter("192.0.2.1".parse().unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = tokio::net::TcpSocket::new_v4().unwrap();
    client.set_recv_buffer_size(4096).unwrap();
    let mut client = client.connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, from) = listener.accept().await.unwrap();
    SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
    // hyper begins with the second request while the answer to the first goes out if that has a body of which the
    // handler knows nothing and of which not all came at once.
    let body = " ".repeat(10_000);
    let requests = format!(
        "GET /long HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}\
         PUT / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\nbe",
        body.len()
    );
    client.write_all(requests.as_bytes()).await.unwrap();
    let stop = CancellationToken::new();
    let served = serve_connection(stream, from, place, Long(limits.clone()), &limits, &stop);
    let talked = async {
        let mut first = Vec::new();
        let long_read = |read: &[u8]| read.iter().filter(|b| **b == b'#').count() == LONG;
        while !long_read(&first) {
            client.read_buf(&mut first).await.unwrap();
        }
        // The sender's pause, longer than a head may take.
        tokio::time::sleep(limits.head_timeout * 3).await;
        client.write_all(b"hind").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nbehind"), "{answer}");
    };
    tokio::join!(served, talked);
}
