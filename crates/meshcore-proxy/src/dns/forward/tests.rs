use super::*;
use crate::dns::message::code;

const WITHIN: Duration = Duration::from_secs(20);

/// A question for the addresses of `a.example`.
const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What a server answers to what it is asked.
async fn serve(socket: UdpSocket, answers: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut buffer = [0; 512];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        for answer in answers(&buffer[..length]) {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

fn answered(asked: &[u8], code: u8) -> Vec<u8> {
    let mut answer = asked.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | code;
    answer
}

#[tokio::test]
async fn the_answer_has_the_number_of_the_client() {
    let (socket, server) = socket().await;
    let query = Query::read(QUESTION).unwrap();
    let serving = serve(socket, |asked| vec![answered(asked, 3)]);
    let servers = [server];
    let answer = tokio::select! {
        answer = forward(&query, &servers, (Asked::ByUdp, WITHIN)) => answer.unwrap(),
        () = serving => unreachable!(),
    };
    assert_eq!((&answer[..2], code(&answer)), (&QUESTION[..2], 3));
}

#[tokio::test]
async fn what_does_not_fit_the_question_is_passed_over() {
    let (socket, server) = socket().await;
    let query = Query::read(QUESTION).unwrap();
    let serving = serve(socket, |asked| {
        let mut guessed = answered(asked, 0);
        guessed[0] ^= 1;
        let mut other = answered(asked, 0);
        other[13] = b'b';
        vec![b"junk".to_vec(), guessed, other, asked.to_vec(), answered(asked, 3)]
    });
    let servers = [server];
    let answer = tokio::select! {
        answer = forward(&query, &servers, (Asked::ByUdp, WITHIN)) => answer.unwrap(),
        () = serving => unreachable!(),
    };
    assert_eq!(code(&answer), 3);
}

#[tokio::test]
async fn the_next_one_is_asked_when_one_is_gone_or_cannot() {
    let (gone, nobody) = socket().await;
    drop(gone);
    let (failing, first) = socket().await;
    let (socket, second) = socket().await;
    let query = Query::read(QUESTION).unwrap();
    let servers = [nobody, first, second];
    let answer = tokio::select! {
        answer = forward(&query, &servers, (Asked::ByUdp, WITHIN)) => answer.unwrap(),
        () = serve(failing, |asked| vec![answered(asked, 2)]) => unreachable!(),
        () = serve(socket, |asked| vec![answered(asked, 0)]) => unreachable!(),
    };
    assert_eq!(code(&answer), 0);
}

#[tokio::test]
async fn nobody_to_ask_is_no_answer() {
    let query = Query::read(QUESTION).unwrap();
    assert_eq!(forward(&query, &[], (Asked::ByUdp, WITHIN)).await, None);
}

#[tokio::test]
async fn silence_ends_in_time_and_leaves_some_for_the_next() {
    let (_silent, first) = socket().await;
    let (socket, second) = socket().await;
    let query = Query::read(QUESTION).unwrap();
    let within = Duration::from_millis(200);
    let servers = [first, second];
    let answer = tokio::select! {
        answer = forward(&query, &servers, (Asked::ByUdp, within)) => answer.unwrap(),
        () = serve(socket, |asked| vec![answered(asked, 0)]) => unreachable!(),
    };
    assert_eq!(code(&answer), 0);
    assert_eq!(forward(&query, &[first], (Asked::ByUdp, within)).await, None);
}

#[tokio::test]
async fn what_was_cut_off_is_asked_again_by_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(server).await.unwrap();
    let by_tcp = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut asked = vec![0; length.into()];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&answered(&asked, 0)).await.unwrap();
        std::future::pending::<()>().await;
    };
    let truncated = |asked: &[u8]| {
        let mut answer = answered(asked, 0);
        answer[2] |= 2;
        vec![answer]
    };
    let query = Query::read(QUESTION).unwrap();
    let (by_udp, whole) = tokio::select! {
        answers = async {
            let by_udp = forward(&query, &[server], (Asked::ByUdp, WITHIN)).await.unwrap();
            (by_udp, forward(&query, &[server], (Asked::ByTcp, WITHIN)).await.unwrap())
        } => answers,
        () = serve(socket, truncated) => unreachable!(),
        () = by_tcp => unreachable!(),
    };
    assert!(is_truncated(&by_udp), "a client by UDP comes again by TCP");
    assert!(!is_truncated(&whole));
}
