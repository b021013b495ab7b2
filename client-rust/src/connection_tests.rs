use folkmoot_proto::{AgentCommand, Header, ResponseHeader};
use tokio::net::TcpListener;

use super::*;
use crate::fake_agent::next;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_nobody_has_any_more_is_ended_also_where_there_is_no_room_to_say_so() {
    let listener = TcpListener::bind("127.0.36.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let agent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut frames, mut header) = (FrameReader::for_requests(), Header::default());
        let (mut stopped, mut numbers) = (Vec::new(), Vec::new());
        while stopped.len() < 3 {
            header.update(&next(&mut frames, &mut stream).await.unwrap()).unwrap();
            numbers.push(header.seq);
            let command = Command::parse(header.command.as_bytes()).unwrap();
            if command.has_body() {
                let body = next(&mut frames, &mut stream).await.unwrap();
                if command == Command::Agent(AgentCommand::Stop) {
                    stopped.push(StopRequest::decode(&body).unwrap().stop);
                }
            }
            stream.write_all(&ResponseHeader::ok(header.seq).to_bytes()).await.unwrap();
        }
        assert!(numbers.is_sorted_by(|one, next| one != next), "each has a number of its own: {numbers:?}");
        stopped
    });
    let connection = Connection::open(&address, &Text::default(), PATIENCE).await.unwrap();
    connection.stop_unanswered(501);
    // Its task does not run before this one waits, so nothing is taken out meanwhile.
    while let Ok(place) = connection.requests.try_reserve() {
        place.send(Vec::new());
    }
    connection.stop_unanswered(502);
    connection.stop_unanswered(503);
    assert_eq!(timeout(PATIENCE, agent).await.unwrap().unwrap(), [501, 502, 503]);
}
