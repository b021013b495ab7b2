//! The encryption keys a node holds (spec 2.3). Go: `keyring.go`. A rotation that loses no packet installs the new key
//! everywhere, then uses it everywhere, then removes the old one everywhere.

use bytes::Bytes;

/// A key operation that was refused; `Display` is Go's text (newest source).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Wrong length.
    #[error("key size must be 16, 24 or 32 bytes")]
    KeySize,
    /// Keys without a primary.
    #[error("empty primary key not allowed")]
    EmptyPrimary,
    /// `use` of an absent key.
    #[error("requested key is not in the keyring")]
    NotInstalled,
    /// `remove` of the primary.
    #[error("removing the primary key is not allowed")]
    RemovePrimary,
    /// `remove` on an empty ring (Go panics).
    #[error("the keyring is empty")]
    EmptyRing,
}

/// Encryption keys, primary first. Empty: encryption is off.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Vec<Bytes>,
}

impl Keyring {
    /// A ring with `primary` first; duplicates dropped. No keys and no primary: an empty ring.
    ///
    /// # Errors
    /// There are keys but no primary, or a key has a wrong length.
    pub fn new(keys: &[Bytes], primary: &[u8]) -> Result<Self, KeyringError> {
        let mut ring = Self::default();
        if primary.is_empty() {
            return if keys.is_empty() { Ok(ring) } else { Err(KeyringError::EmptyPrimary) };
        }
        ring.install(primary)?;
        for key in keys {
            ring.install(key)?;
        }
        Ok(ring)
    }

    /// Adds at the end; a present key is left where it is; primary only on an empty ring.
    ///
    /// # Errors
    /// The key has a wrong length.
    pub fn install(&mut self, key: &[u8]) -> Result<(), KeyringError> {
        if !matches!(key.len(), 16 | 24 | 32) {
            return Err(KeyringError::KeySize);
        }
        if self.position(key).is_none() {
            self.keys.push(Bytes::copy_from_slice(key));
        }
        Ok(())
    }

    /// Makes an installed key the primary; the others keep their order.
    ///
    /// # Errors
    /// The key is not installed.
    pub fn use_key(&mut self, key: &[u8]) -> Result<(), KeyringError> {
        let position = self.position(key).ok_or(KeyringError::NotInstalled)?;
        let key = self.keys.remove(position);
        self.keys.insert(0, key);
        Ok(())
    }

    /// Removes a key that is not the primary. A key that is not installed is no error.
    ///
    /// # Errors
    /// The key is the primary, or there are no keys.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), KeyringError> {
        if self.keys.is_empty() {
            return Err(KeyringError::EmptyRing);
        }
        match self.position(key) {
            Some(0) => Err(KeyringError::RemovePrimary),
            Some(position) => {
                self.keys.remove(position);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// All keys, primary first.
    #[must_use]
    pub fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    /// The key we encrypt with.
    #[must_use]
    pub fn primary(&self) -> Option<&Bytes> {
        self.keys.first()
    }

    /// Whether encryption is off.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn position(&self, key: &[u8]) -> Option<usize> {
        self.keys.iter().position(|installed| installed == key)
    }
}

/// Prints how many keys there are, never the keys.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = &[1; 16];
    const B: &[u8] = &[2; 24];
    const C: &[u8] = &[3; 32];

    fn ring(keys: &[&[u8]]) -> Keyring {
        let keys: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
        Keyring::new(&keys, &keys[0]).unwrap()
    }

    #[test]
    fn nothing_makes_an_empty_ring_but_keys_need_a_primary() {
        assert!(Keyring::new(&[], &[]).unwrap().is_empty());
        assert_eq!(Keyring::new(&[Bytes::from_static(A)], &[]).unwrap_err(), KeyringError::EmptyPrimary);
    }

    #[test]
    fn the_primary_comes_first_and_duplicates_are_dropped() {
        let keys = [A, B, A].map(Bytes::from_static);
        assert_eq!(Keyring::new(&keys, B).unwrap().keys(), [B, A]);
        assert_eq!(Keyring::new(&[], C).unwrap().primary().unwrap(), C);
    }

    #[test]
    fn only_aes_key_sizes_are_taken() {
        for length in 0..40 {
            let result = Keyring::default().install(&vec![0; length]);
            assert_eq!(result.is_ok(), [16, 24, 32].contains(&length), "{length}");
        }
        assert_eq!(Keyring::new(&[], &[0; 17]).unwrap_err(), KeyringError::KeySize);
        assert_eq!(Keyring::new(&[Bytes::from_static(b"short")], A).unwrap_err(), KeyringError::KeySize);
    }

    #[test]
    fn install_appends_and_leaves_a_present_key_where_it_is() {
        let mut ring = Keyring::default();
        ring.install(A).unwrap();
        ring.install(B).unwrap();
        ring.install(A).unwrap();
        assert_eq!(ring.keys(), [A, B]);
    }

    #[test]
    fn use_moves_an_installed_key_to_the_front() {
        let mut ring = ring(&[A, B, C]);
        ring.use_key(C).unwrap();
        assert_eq!(ring.keys(), [C, A, B]);
        assert_eq!(ring.use_key(&[9; 16]), Err(KeyringError::NotInstalled));
        assert_eq!(ring.keys(), [C, A, B]);
    }

    #[test]
    fn remove_refuses_the_primary_and_ignores_the_unknown() {
        let mut ring = ring(&[A, B, C]);
        assert_eq!(ring.remove(A), Err(KeyringError::RemovePrimary));
        ring.remove(&[9; 16]).unwrap();
        ring.remove(B).unwrap();
        assert_eq!(ring.keys(), [A, C]);
        assert_eq!(Keyring::default().remove(A), Err(KeyringError::EmptyRing));
    }

    #[test]
    fn debug_output_shows_no_key() {
        assert_eq!(format!("{:?}", ring(&[A, B])), "Keyring(2 keys)");
    }
}
