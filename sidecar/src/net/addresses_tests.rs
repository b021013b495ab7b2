use super::*;

fn split_error(address: &str) -> String {
    split_host_port(address).unwrap_err().to_string()
}

#[test]
fn hosts_and_ports_are_taken_apart_with_gos_errors() {
    assert_eq!(split_host_port("127.0.0.1:80"), Ok(("127.0.0.1", "80")));
    assert_eq!(split_host_port("[::1]:80"), Ok(("::1", "80")));
    assert_eq!(split_host_port(":80"), Ok(("", "80")));
    assert_eq!(split_error("127.0.13.1"), "address 127.0.13.1: missing port in address");
    assert_eq!(split_error("[::1]"), "address [::1]: missing port in address");
    assert_eq!(split_error("::1"), "address ::1: too many colons in address");
    assert_eq!(split_error("[::1"), "address [::1: missing ']' in address");
    assert_eq!(split_error("a]:1"), "address a]:1: unexpected ']' in address");
}

#[tokio::test]
async fn bind_addresses_get_the_default_port_and_gos_errors() {
    let parts = |address| async move { address_parts(address).await.map_err(|error| error.to_string()) };
    assert_eq!(parts("127.0.26.1").await, Ok("127.0.26.1:7946".parse().unwrap()));
    assert_eq!(parts("127.0.26.1:17").await, Ok("127.0.26.1:17".parse().unwrap()));
    assert_eq!(parts("[::1]").await, Ok("[::1]:7946".parse().unwrap()));
    assert_eq!(parts("[::1]:17946").await, Ok("[::1]:17946".parse().unwrap()));
    assert_eq!(parts("[::1").await, Err("address [::1: missing ']' in address".into()));
    assert_eq!(parts("127.0.13.1:99999").await, Err("address 99999: invalid port".into()));
    assert_eq!(parts("127.0.13.1:x").await, Err("lookup tcp/x: unknown port".into()));
}

#[test]
fn ports_are_found_and_added_as_in_the_go_table() {
    let table: serde_json::Value =
        serde_json::from_str(include_str!("../../../vectors/memberlist/tables/numbers.json")).unwrap();
    let rows = table["hasPort"].as_array().unwrap();
    assert!(rows.len() > 10);
    for row in rows {
        let address = row["s"].as_str().unwrap();
        assert_eq!(has_port(address), row["hasPort"].as_bool().unwrap(), "{address}");
        assert_eq!(ensure_port(address, 7946), row["ensurePort"].as_str().unwrap(), "{address}");
    }
}

#[tokio::test]
async fn join_addresses_may_carry_a_name_and_a_port() {
    let target = |address| async move { resolve_join(address, 7000).await.map_err(|error| error.to_string()) };
    let plain = target("127.0.26.1").await.unwrap();
    assert_eq!(plain, [JoinTarget { name: None, address: "127.0.26.1:7000".parse().unwrap() }]);
    let named = target("beta/[::1]:80").await.unwrap();
    assert_eq!(named, [JoinTarget { name: Some(NodeName("beta".into())), address: "[::1]:80".parse().unwrap() }]);
    assert_eq!(target("/127.0.26.1").await, Err("empty node name provided".into()));
    let too_big = r#"strconv.ParseUint: parsing "99999": value out of range"#;
    assert_eq!(target("1.2.3.4:99999").await, Err(too_big.into()));
    assert_eq!(target("1.2.3.4:x").await, Err(r#"strconv.ParseUint: parsing "x": invalid syntax"#.into()));
}

#[test]
fn errors_stand_in_gos_frame() {
    assert_eq!(errors_text(&["a".into()]), "1 error occurred:\n\t* a\n\n");
    assert_eq!(errors_text(&["a".into(), "b".into()]), "2 errors occurred:\n\t* a\n\t* b\n\n");
}
