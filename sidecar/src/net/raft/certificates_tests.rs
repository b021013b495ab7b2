//! Authorities and certificates for tests.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::TlsFiles;

/// Signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub(super) struct Signed {
    pem: String,
    key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For servers and clients, from and until so many days after now.
    pub(super) fn signs(&self, name: &str, from: i64, until: i64) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = std::time::SystemTime::now();
        let at = |days: i64| {
            let distance = std::time::Duration::from_secs(days.unsigned_abs() * 24 * 3600);
            if days < 0 { now - distance } else { now + distance }
        };
        params.not_before = at(from).into();
        params.not_after = at(until).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    pub(super) fn signs_for_servers(&self, name: &str) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { pem, key: key.serialize_pem() }
    }
}

/// A directory of its own, gone with the value.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("folkmoot-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// A node whose certificate is of `signer` and who trusts `trusted`.
    pub(super) fn files(&self, name: &str, signer: &Authority, trusted: &Authority) -> TlsFiles {
        self.files_of(name, &signer.signs(name, -1, 365), trusted)
    }

    pub(super) fn files_of(&self, name: &str, signed: &Signed, trusted: &Authority) -> TlsFiles {
        TlsFiles {
            ca: self.write(&format!("{name}-ca.pem"), &trusted.pem),
            cert: self.write(&format!("{name}.pem"), &signed.pem),
            key: self.write(&format!("{name}-key.pem"), &signed.key),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
