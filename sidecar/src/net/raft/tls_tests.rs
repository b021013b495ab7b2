use super::*;
use crate::net::raft::certificates::{Authority, Folder};

#[tokio::test]
async fn certificates_of_one_authority_meet_and_others_do_not() {
    let folder = Folder::new("meet");
    let ours = Authority::new("ours");
    let [one, two] = ["one", "two"].map(|name| TlsIdentity::load(&folder.files(name, &ours, &ours)).unwrap());
    let (caller, called) = meet(&one, &two).await;
    caller.unwrap();
    called.unwrap();

    let theirs = Authority::new("theirs");
    let stranger = TlsIdentity::load(&folder.files("stranger", &theirs, &theirs)).unwrap();
    let (caller, called) = meet(&stranger, &one).await;
    let known = "its certificate was not signed by the authority in -raft-tls-ca";
    assert_eq!(caller.err(), Some(HandshakeError::Certificate(known.to_owned())));
    let told = called.err().unwrap().to_string();
    assert!(told.contains("does not know the authority"), "{told}");
}

#[tokio::test]
async fn a_caller_hears_that_its_certificate_is_refused() {
    let folder = Folder::new("refused");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let node = TlsIdentity::load(&folder.files("node", &ours, &ours)).unwrap();
    // Trusts our authority, but shows a certificate of another.
    let mut mixed = folder.files("mixed", &theirs, &theirs);
    let stranger = TlsIdentity::load(&mixed).unwrap();
    mixed.ca = folder.files("trusting", &ours, &ours).ca;
    let trusting = TlsIdentity::load(&folder.files("trusting", &ours, &ours)).unwrap();
    let impostor = TlsIdentity { connector: impostor(&trusting, &stranger), ..trusting };
    let (caller, called) = meet(&impostor, &node).await;
    let told = caller.err().unwrap().to_string();
    assert!(told.contains("authority") || told.contains("accept"), "{told}");
    assert!(matches!(called.err(), Some(HandshakeError::Certificate(_))));
}

/// Checks others as `trusting` does and shows the certificate of `shown`.
fn impostor(trusting: &TlsIdentity, shown: &TlsIdentity) -> TlsConnector {
    let mut config = ClientConfig::clone(trusting.connector.config());
    config.client_auth_cert_resolver = Arc::clone(&shown.connector.config().client_auth_cert_resolver);
    Arc::new(config).into()
}

async fn meet(caller: &TlsIdentity, called: &TlsIdentity) -> (Result<(), HandshakeError>, Result<(), HandshakeError>) {
    let (one, mut other) = tokio::io::duplex(1 << 20);
    let calling = async { call(one, caller).await.map(drop) };
    let answering = async {
        let mut start = [0; preface::LENGTH];
        other.read_exact(&mut start).await?;
        preface::accept(Mode::Tls, start)?;
        answer(other, called).await.map(drop)
    };
    tokio::join!(calling, answering)
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let folder = Folder::new("files");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = folder.files("good", &ours, &ours);
    assert!(!TlsIdentity::load(&good).unwrap().expires_soon);
    let text = |files: &TlsFiles| TlsIdentity::load(files).unwrap_err().to_string();

    let missing = TlsFiles { ca: "/none/ca.pem".to_owned(), ..good.clone() };
    assert_eq!(text(&missing), "-raft-tls-ca=/none/ca.pem: no such file or directory");
    let garbled = TlsFiles { cert: folder.write("garbled.pem", "no certificate at all"), ..good.clone() };
    assert!(text(&garbled).contains("it holds no certificate"), "{}", text(&garbled));
    let torn = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let torn = TlsFiles { cert: folder.write("torn.pem", torn), ..good.clone() };
    assert!(text(&torn).contains("torn.pem: it is no PEM file"), "{}", text(&torn));
    let no_key = TlsFiles { key: good.cert.clone(), ..good.clone() };
    assert!(text(&no_key).contains("it holds no private key"), "{}", text(&no_key));
    let other = folder.files("other", &ours, &ours);
    let mismatched = TlsFiles { key: other.key, ..good.clone() };
    assert!(text(&mismatched).contains("it is not the key of the certificate in"), "{}", text(&mismatched));
    let foreign = folder.files("foreign", &theirs, &ours);
    assert!(text(&foreign).contains("not signed by the authority in -raft-tls-ca"), "{}", text(&foreign));
    let large = TlsFiles { ca: folder.write("large.pem", &"x".repeat(1_100_000)), ..good };
    assert!(text(&large).contains("it is longer than"), "{}", text(&large));
}

#[test]
fn dates_are_checked_at_the_start() {
    let folder = Folder::new("dates");
    let ours = Authority::new("ours");
    let text = |files: &TlsFiles| TlsIdentity::load(files).unwrap_err().to_string();
    let expired = folder.files_of("old", &ours.signs("old", -2, -1), &ours);
    assert!(text(&expired).ends_with("the certificate has expired"), "{}", text(&expired));
    let early = folder.files_of("early", &ours.signs("early", 1, 2), &ours);
    assert!(text(&early).contains("is not valid yet"), "{}", text(&early));
    let soon = folder.files_of("soon", &ours.signs("soon", -1, 10), &ours);
    assert!(TlsIdentity::load(&soon).unwrap().expires_soon);
    let server_only = folder.files_of("server", &ours.signs_for_servers("server"), &ours);
    assert!(text(&server_only).contains("both servers and clients"), "{}", text(&server_only));
}
