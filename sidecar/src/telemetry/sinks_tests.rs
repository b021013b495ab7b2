use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn lines_are_joined_up_to_the_size_of_a_datagram() {
    let lines: Vec<String> = (0..100).map(|number| format!("{number:049}\n")).collect();
    let joined = datagrams(&lines);
    assert_eq!(joined.len(), 4);
    assert!(joined.iter().all(|datagram| datagram.len() <= STATSD_DATAGRAM_BYTES));
    assert_eq!(joined.concat(), lines.concat());
    assert_eq!(datagrams(&["x".repeat(3000)]).len(), 1);
}

#[tokio::test]
async fn statsd_gets_counters_gauges_with_the_hosts_name_and_samples() {
    let server = UdpSocket::bind("127.0.46.31:0").await.unwrap();
    let telemetry = Telemetry::with_sinks("host-one".into());
    telemetry.count("serf.events");
    telemetry.count("serf.events");
    telemetry.gauge("memberlist.health.score", 2.0);
    telemetry.sample("serf.queue.Event", 7.0);
    let statsd = Some(server.local_addr().unwrap().to_string());
    start(telemetry, SinkAddresses { statsd, statsite: None });
    let mut buffer = [0; 2000];
    let length = tokio::time::timeout(LIMIT, server.recv(&mut buffer)).await.unwrap().unwrap();
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    assert_eq!(
        text,
        "serf-agent.host-one.memberlist.health.score:2.000000|g\n\
         serf-agent.serf.events:2.000000|c\n\
         serf-agent.serf.queue.Event:7.000000|ms\n"
    );
}

#[tokio::test]
async fn statsite_is_connected_again_after_it_went_away() {
    let listener = TcpListener::bind("127.0.46.32:0").await.unwrap();
    let telemetry = Telemetry::with_sinks("host-one".into());
    let statsite = Some(listener.local_addr().unwrap().to_string());
    start(telemetry.clone(), SinkAddresses { statsd: None, statsite });
    for name in ["first", "second"] {
        let accepted = async {
            loop {
                // Whatever is written into a connection that has just gone is lost: report until somebody connects.
                telemetry.count(name);
                if let Ok(accepted) = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await {
                    return accepted.unwrap().0;
                }
            }
        };
        let stream = tokio::time::timeout(LIMIT, accepted).await.unwrap();
        telemetry.count(name);
        let mut lines = BufReader::new(stream).lines();
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(line.starts_with(&format!("serf-agent.{name}:")) && line.ends_with("|c"), "{line}");
    }
}
