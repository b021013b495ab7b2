use proptest::prelude::*;

use super::*;
use crate::peer::Peer;

fn identity(cluster: Option<u64>) -> Identity {
    let me = Peer { id: NodeId(7), name: "b".into(), address: ([127, 0, 32, 2], 4321).into() };
    Identity::new(me, cluster.map(ClusterId))
}

fn raft(cluster: Option<u64>, from: Option<u64>, to: u64) -> Hello {
    Hello { kind: StreamKind::Raft, cluster: cluster.map(ClusterId), from: from.map(NodeId), to: Some(NodeId(to)) }
}

fn calls(cluster: Option<u64>) -> Hello {
    Hello { kind: StreamKind::Calls, cluster: cluster.map(ClusterId), from: None, to: Some(NodeId(7)) }
}

/// What both sides say when `hello` meets this member.
async fn meet(hello: &Hello, identity: Option<&Identity>) -> (Result<(), String>, Result<Hello, String>) {
    let (mut caller, mut answerer) = tokio::io::duplex(64);
    let (there, here) = tokio::join!(greet(&mut caller, hello), welcome(&mut answerer, identity));
    (there.map_err(|error| error.to_string()), here.map_err(|error| error.to_string()))
}

#[tokio::test]
async fn members_of_one_group_and_calls_without_one_are_welcome() {
    for hello in [raft(Some(5), Some(1), 7), calls(None), calls(Some(5))] {
        let (there, here) = meet(&hello, Some(&identity(Some(5)))).await;
        assert_eq!((there, here), (Ok(()), Ok(hello)));
    }
    let (there, _) = meet(&calls(Some(5)), Some(&identity(None))).await;
    assert_eq!(there, Ok(()), "a member in no group says so in its answers");
}

#[tokio::test]
async fn only_a_member_that_is_about_to_be_in_its_group_refuses_for_a_moment() {
    for (hello, cluster, passes) in [
        (raft(Some(5), Some(1), 7), None, true),
        (raft(Some(6), Some(1), 7), Some(5), false),
        (raft(Some(5), Some(1), 8), None, false),
    ] {
        let (mut caller, mut answerer) = tokio::io::duplex(64);
        let member = identity(cluster);
        let (there, here) = tokio::join!(greet(&mut caller, &hello), welcome(&mut answerer, Some(&member)));
        assert_eq!((there.unwrap_err().passes(), here.unwrap_err().passes()), (passes, passes), "{hello:?}");
    }
    assert!(!GreetError::Io(io::ErrorKind::TimedOut.into()).passes());
}

#[tokio::test]
async fn both_sides_learn_why_a_stream_is_refused() {
    let cases = [
        (
            raft(Some(6), Some(1), 7),
            Some(Some(5)),
            "is of group 0000000000000006, this member is of group 0000000000000005",
        ),
        (calls(Some(6)), Some(Some(5)), "is of group 0000000000000006, this member is of group 0000000000000005"),
        (
            raft(Some(5), Some(1), 8),
            Some(Some(5)),
            "looks for member 0000000000000008 at this address, which is member 0000000000000007",
        ),
        (
            raft(Some(5), Some(7), 7),
            Some(Some(5)),
            "calls itself 0000000000000007, which is this member: was a data directory copied?",
        ),
        (raft(Some(5), None, 7), Some(Some(5)), "does not say of which group it is, or who"),
        (raft(None, Some(1), 7), Some(Some(5)), "does not say of which group it is, or who"),
        (raft(Some(5), Some(1), 7), Some(None), "calls a member that is in no group yet"),
        (calls(None), None, "calls an agent that takes no part in coordination"),
    ];
    for (hello, member, reason) in cases {
        let identity = member.map(identity);
        let (there, here) = meet(&hello, identity.as_ref()).await;
        assert_eq!(there, Err(format!("refused: this agent {reason}")));
        assert_eq!(here, Err(format!("refused: the other side {reason}")));
    }
}

#[tokio::test]
async fn another_version_is_refused_by_name_on_both_sides() {
    let (mut caller, mut answerer) = tokio::io::duplex(64);
    let mut bytes = written(&calls(None)).unwrap();
    bytes[4] = 9;
    caller.write_all(&bytes).await.unwrap();
    let error = welcome(&mut answerer, Some(&identity(None))).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: the other side speaks version 9 between agents, version 1 is spoken here");
    let answer = hear::<Welcome, _>(&mut caller).await.unwrap().unwrap();
    assert_eq!(answer, Welcome::Refused(Unwelcome::Version { ours: 1, theirs: 9 }));

    let (mut caller, mut answerer) = tokio::io::duplex(64);
    let newer = [&b"FMRC"[..], &[2, 0, 0]].concat();
    answerer.write_all(&newer).await.unwrap();
    let error = greet(&mut caller, &calls(None)).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: the other side speaks version 2 between agents, version 1 is spoken here");
}

#[tokio::test]
async fn a_stream_that_ends_within_the_hello_is_an_error() {
    let whole = written(&raft(Some(5), Some(1), 7)).unwrap();
    for length in 0..whole.len() {
        let (mut caller, mut answerer) = tokio::io::duplex(64);
        caller.write_all(&whole[..length]).await.unwrap();
        drop(caller);
        let error = welcome(&mut answerer, Some(&identity(Some(5)))).await.unwrap_err();
        assert!(matches!(error, GreetError::Io(_)), "{length} bytes: {error}");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_a_hello(bytes in prop::collection::vec(any::<u8>(), 0..400), honest in any::<bool>()) {
        let start: &[u8] = if honest { b"FMRC\x01" } else { b"" };
        let bytes = [start, &bytes].concat();
        block_on(async {
            let (mut caller, mut answerer) = tokio::io::duplex(4096);
            caller.write_all(&bytes).await.unwrap();
            caller.shutdown().await.unwrap();
            if let Ok(hello) = welcome(&mut answerer, Some(&identity(Some(5)))).await {
                assert!(bytes.starts_with(&written(&hello).unwrap()));
            }
        });
    }

    #[test]
    fn hellos_survive_their_bytes(
        cluster in any::<Option<u64>>(), from in any::<Option<u64>>(), to in any::<Option<u64>>(), raft in any::<bool>(),
    ) {
        let kind = if raft { StreamKind::Raft } else { StreamKind::Calls };
        let hello =
            Hello { kind, cluster: cluster.map(ClusterId), from: from.map(NodeId), to: to.map(NodeId) };
        let bytes = written(&hello).unwrap();
        prop_assert!(bytes.len() <= HEADER + HELLO_BYTES_MAX);
        let mut rest = &bytes[..];
        prop_assert_eq!(block_on(hear::<Hello, _>(&mut rest)).unwrap(), Ok(hello));
    }
}
