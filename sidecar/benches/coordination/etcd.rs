//! A group of etcd's, with its own settings.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::grpc::{Grpc, message, number, put_bytes};
use crate::measure::until;
use crate::networked::{Client, Networked, Pipeline};
use crate::support::{Directory, Loopback};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// etcd answers what reached a node without a leader after seven seconds only; whoever wants to go on asks again.
const IMPATIENT: Duration = Duration::from_millis(250);

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

pub struct Etcd {
    addresses: Vec<Loopback>,
    nodes: Vec<Option<Child>>,
    directory: Directory,
    program: PathBuf,
}

impl Etcd {
    pub fn start(program: PathBuf) -> Self {
        let addresses: Vec<Loopback> = (0..3).map(|_| Loopback::fresh()).collect();
        let mut etcd = Self { addresses, nodes: vec![None, None, None], directory: Directory::fresh(), program };
        (0..3).for_each(|node| etcd.start_node(node));
        until("etcd takes writes everywhere", || (0..3).all(|node| etcd.grpc(node, PATIENCE).write("ready", b"")));
        etcd
    }

    fn grpc(&self, node: usize, patience: Duration) -> Grpc {
        Grpc::new(format!("{}:2379", self.addresses[node].ip()), patience)
    }

    /// A node's answer to `Status`.
    fn status(&self, node: usize) -> Option<Vec<u8>> {
        self.nodes[node].as_ref()?;
        self.grpc(node, PATIENCE).call(STATUS, &[])
    }
}

impl Networked for Etcd {
    fn client(&self, node: usize) -> Box<dyn Client> {
        Box::new(self.grpc(node, PATIENCE))
    }

    fn impatient_client(&self, node: usize) -> Box<dyn Client> {
        Box::new(self.grpc(node, IMPATIENT))
    }

    fn pipeline(&self, node: usize) -> Box<dyn Pipeline> {
        Box::new(self.grpc(node, crate::measure::LIMIT))
    }

    fn leader_now(&self) -> Option<usize> {
        (0..3).find(|node| {
            let answer = self.status(*node).unwrap_or_default();
            let own = message(&answer, 1).and_then(|header| number(header, 2));
            own.is_some() && own == number(&answer, 4)
        })
    }

    fn term_now(&self) -> Option<u64> {
        (0..3).filter_map(|node| number(&self.status(node)?, 6)).max()
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Child::id).collect()
    }

    fn runs(&self, node: usize) -> bool {
        self.nodes[node].is_some()
    }

    fn kill(&mut self, node: usize) {
        let mut child = self.nodes[node].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn start_node(&mut self, node: usize) {
        let ip = self.addresses[node].ip();
        let all: Vec<String> =
            self.addresses.iter().enumerate().map(|(node, at)| format!("e{node}=http://{}:2380", at.ip())).collect();
        let log = std::fs::File::create(self.directory.file(&format!("log-{node}"))).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["--name", &format!("e{node}"), "--data-dir"]).arg(self.directory.file(&format!("data-{node}")));
        command.args(["--listen-peer-urls", &format!("http://{ip}:2380")]);
        command.args(["--initial-advertise-peer-urls", &format!("http://{ip}:2380")]);
        command.args(["--listen-client-urls", &format!("http://{ip}:2379")]);
        command.args(["--advertise-client-urls", &format!("http://{ip}:2379")]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new", "--logger", "zap"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes[node] = Some(command.spawn().unwrap());
    }

    fn applied(&self, node: usize) -> Option<u64> {
        number(&self.status(node)?, 7)
    }

    fn serves(&self, node: usize) -> bool {
        self.grpc(node, PATIENCE).read("key-0", false)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Client for Grpc {
    fn write(&mut self, key: &str, value: &[u8]) -> bool {
        self.call(PUT, &put(key, value)).is_some()
    }

    fn read(&mut self, key: &str, stale: bool) -> bool {
        let mut request = Vec::new();
        put_bytes(&mut request, 1, key.as_bytes());
        if stale {
            request.extend([7 << 3, 1]);
        }
        self.call(RANGE, &request).is_some()
    }
}

impl Pipeline for Grpc {
    fn send(&mut self, keys: &[String], value: &[u8]) {
        let requests: Vec<Vec<u8>> = keys.iter().map(|key| put(key, value)).collect();
        self.send_all(PUT, &requests).expect("etcd takes requests");
    }

    fn answers(&mut self) -> (usize, usize) {
        self.some_answers().expect("etcd answers")
    }
}

fn put(key: &str, value: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    put_bytes(&mut request, 1, key.as_bytes());
    put_bytes(&mut request, 2, value);
    request
}
