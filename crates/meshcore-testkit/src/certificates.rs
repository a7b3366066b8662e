//! Certificates for tests.

use std::time::Duration;

use meshcore_model::Identity;
use meshcore_tls::ca::Authority;
use meshcore_tls::{Materials, TrustBundle};

/// The certificate authority of one test.
#[derive(Debug)]
pub struct TestCa {
    authority: Authority,
    domain: String,
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new("cluster.local")
    }
}

impl TestCa {
    /// An authority for a trust domain, good for a day.
    pub fn new(domain: &str) -> Self {
        let authority = Authority::create(domain, Duration::from_hours(24)).unwrap();
        Self { authority, domain: domain.to_owned() }
    }

    /// Key, certificate and trust of the service account `name` in the namespace `default`.
    pub fn materials(&self, name: &str) -> Materials {
        self.materials_of(&self.identity(name))
    }

    /// Key, certificate and trust of `identity`, good for an hour.
    pub fn materials_of(&self, identity: &Identity) -> Materials {
        self.materials_with(identity, self.bundle())
    }

    /// As [`Self::materials`], trusting another authority besides.
    pub fn materials_trusting(&self, name: &str, other: &Self) -> Materials {
        let bundle = if self.domain == other.domain {
            let both = format!("{}{}", self.root_pem(), other.root_pem());
            TrustBundle::from_pem([(self.domain.as_str(), both.as_str())])
        } else {
            TrustBundle::from_pem([
                (self.domain.as_str(), self.root_pem()),
                (other.domain.as_str(), other.root_pem()),
            ])
        };
        self.materials_with(&self.identity(name), bundle.unwrap())
    }

    fn materials_with(&self, identity: &Identity, bundle: TrustBundle) -> Materials {
        let issued = self.authority.issue(identity, Duration::from_hours(1)).unwrap();
        Materials::from_pem(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes(), bundle).unwrap()
    }

    /// The identity of the service account `name` in the namespace `default`.
    pub fn identity(&self, name: &str) -> Identity {
        format!("spiffe://{}/ns/default/sa/{name}", self.domain).parse().unwrap()
    }

    /// Trust in this authority alone.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem([(self.domain.as_str(), self.root_pem())]).unwrap()
    }

    /// The root's certificate.
    pub fn root_pem(&self) -> &str {
        self.authority.root_pem()
    }

    /// The authority itself.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}
