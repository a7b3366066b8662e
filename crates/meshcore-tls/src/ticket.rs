//! Stateless session tickets that die with the trust they were issued under.
//!
//! rustls 0.23 does not verify the client's chain again when a TLS 1.3 or 1.2 session resumes:
//! it takes the chain out of the ticket. Three things replace that check here:
//!
//! 1. the ticket keys belong to one trust epoch (our identity and our trust bundle): when either
//!    changes, no former ticket can be read and the client makes a full handshake. That also
//!    holds for a handshake that was under way during the change;
//! 2. a ticket carries its own end, at most one hour away and never past our certificate's;
//! 3. [`MeshTls::client_of`](crate::MeshTls::client_of) verifies the whole chain again, after
//!    each handshake.
//!
//! Source: RFC 8446 sections 2.2 and 4.6.1; CVE-2022-21654 (resumption after a change of trust).

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use rustls_pki_types::UnixTime;

use crate::shared::Shared;

/// Longest life of a ticket.
const MAX_LIFE_SECONDS: u64 = 3600;

const DEADLINE_BYTES: usize = 8;

/// Seals and opens the tickets of one trust epoch.
#[derive(Debug)]
pub(crate) struct Tickets {
    shared: Arc<Shared>,
    trust_epoch: u64,
    sealer: Arc<dyn ProducesTickets>,
}

// === impl Tickets ===

impl Tickets {
    pub(crate) fn new(shared: Arc<Shared>, trust_epoch: u64) -> Result<Self, rustls::Error> {
        Ok(Self { shared, trust_epoch, sealer: Ticketer::new()? })
    }

    /// Seconds that a ticket issued now may live; 0 when none may be issued.
    fn life_seconds(&self, now_seconds: u64) -> u64 {
        let current = self.shared.current();
        if current.trust_epoch != self.trust_epoch {
            return 0;
        }
        current.materials.not_after().saturating_sub(now_seconds).min(MAX_LIFE_SECONDS)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.life_seconds(now_seconds())).unwrap_or(0)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let now = now_seconds();
        let life = self.life_seconds(now);
        if life == 0 {
            return None;
        }
        let mut sealed = Vec::with_capacity(plain.len().saturating_add(DEADLINE_BYTES));
        sealed.extend_from_slice(&now.saturating_add(life).to_be_bytes());
        sealed.extend_from_slice(plain);
        self.sealer.encrypt(&sealed)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let now = now_seconds();
        if self.life_seconds(now) == 0 {
            return None;
        }
        let plain = self.sealer.decrypt(cipher)?;
        let (deadline, session) = plain.split_first_chunk::<DEADLINE_BYTES>()?;
        (now < u64::from_be_bytes(*deadline)).then(|| session.to_vec())
    }
}

fn now_seconds() -> u64 {
    UnixTime::now().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::Authority;
    use crate::testing;

    const WEEK: Duration = Duration::from_hours(7 * 24);

    fn tickets(shared: &Arc<Shared>) -> Tickets {
        Tickets::new(Arc::clone(shared), shared.current().trust_epoch).unwrap()
    }

    #[test]
    fn a_ticket_survives_a_rotation_and_not_a_change_of_trust() {
        let authority = Authority::create("td", WEEK).unwrap();
        let shared = Arc::new(Shared::new(testing::materials(&authority, "a")));
        let before = tickets(&shared);
        let ticket = before.encrypt(b"session").unwrap();
        assert_eq!(before.decrypt(&ticket).unwrap(), b"session");
        assert!((3590..=3600).contains(&before.lifetime()));
        shared.rotate(testing::materials(&authority, "a"));
        assert_eq!(before.decrypt(&ticket).unwrap(), b"session");

        let other = Authority::create("td", WEEK).unwrap();
        shared.rotate(testing::materials(&other, "a"));
        assert!(before.decrypt(&ticket).is_none(), "old keys, new trust");
        assert!(before.encrypt(b"late handshake").is_none());
        assert!(tickets(&shared).decrypt(&ticket).is_none(), "new keys, old ticket");
    }

    #[test]
    fn another_identity_reads_no_former_ticket() {
        let authority = Authority::create("td", WEEK).unwrap();
        let shared = Arc::new(Shared::new(testing::materials(&authority, "a")));
        let before = tickets(&shared);
        let ticket = before.encrypt(b"session").unwrap();
        shared.rotate(testing::materials(&authority, "b"));
        assert!(before.decrypt(&ticket).is_none());
    }

    #[test]
    fn no_ticket_outlives_our_certificate() {
        let authority = Authority::create("td", WEEK).unwrap();
        let brief = testing::materials_for(&authority, "a", Duration::from_mins(1));
        let shared = Arc::new(Shared::new(brief));
        assert!((50..=60).contains(&tickets(&shared).lifetime()));
    }

    #[test]
    fn a_ticket_past_its_end_or_damaged_is_not_read() {
        let authority = Authority::create("td", WEEK).unwrap();
        let shared = Arc::new(Shared::new(testing::materials(&authority, "a")));
        let tickets = tickets(&shared);
        let mut old = (now_seconds() - 1).to_be_bytes().to_vec();
        old.extend_from_slice(b"session");
        let ticket = tickets.sealer.encrypt(&old).unwrap();
        assert!(tickets.decrypt(&ticket).is_none());
        assert!(tickets.decrypt(b"").is_none());
        assert!(tickets.decrypt(&[7; 300]).is_none());
        let mut damaged = tickets.encrypt(b"session").unwrap();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(tickets.decrypt(&damaged).is_none());
    }
}
