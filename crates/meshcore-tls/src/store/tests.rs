//! What is on disk survives who writes it, and a root rotates without a failed handshake.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use meshcore_model::Identity;

use super::*;
use crate::ca::{Authority, new_csr};
use crate::testing::{DAY, identity, shake};
use crate::tokens::TokenError;
use crate::{Expected, Materials, MeshTls, MeshTlsOptions, TrustBundle, alpn};

fn control() -> Identity {
    Identity::new("td", "istio-system", "meshcore-control").unwrap()
}

fn home() -> (tempfile::TempDir, std::path::PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let place = above.path().join("control");
    (above, place)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn certified(authorities: &Authorities, account: &str) -> Materials {
    let csr = new_csr(&identity(account)).unwrap();
    let signed = authorities.sign_csr(&csr.csr_pem, &identity(account), DAY).unwrap();
    let bundle = TrustBundle::from_pem([("td", &signed.roots)]).unwrap();
    let (chain, key) = (signed.issued.chain_pem, csr.key_pem);
    Materials::from_pem(chain.as_bytes(), key.as_bytes(), bundle).unwrap()
}

#[test]
fn the_first_start_makes_secrets_and_the_next_finds_them() {
    let (_above, place) = home();
    assert!(matches!(Authorities::existing(&place), Err(StoreError::Missing(_))));
    let first = Authorities::open(&place, &control(), None).unwrap();
    first.tokens().unwrap();
    for directory in ["", "ca", "ca/1", "tokens"] {
        assert_eq!(mode(&place.join(directory)), 0o700, "{directory}");
    }
    for file in ["authority.json", "ca/1/ca-key.pem", "tokens/key.pem", "tokens/tokens.json"] {
        assert_eq!(mode(&place.join(file)), 0o600, "{file}");
    }
    let again = Authorities::open(&place, &control(), None).unwrap();
    assert_eq!(again.roots().unwrap(), first.roots().unwrap());
    let other = Identity::new("other", "istio-system", "meshcore-control").unwrap();
    let refused = Authorities::open(&place, &other, None).unwrap_err().to_string();
    assert!(refused.contains("spiffe://td/"), "{refused}");
}

#[test]
fn secrets_that_others_may_read_are_refused() {
    let (_above, place) = home();
    Authorities::open(&place, &control(), None).unwrap();
    for (path, usual) in [("", 0o700), ("authority.json", 0o600), ("ca/1/ca-key.pem", 0o600)] {
        let path = place.join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(usual | 0o044)).unwrap();
        let refused = Authorities::existing(&place).unwrap_err().to_string();
        assert!(refused.contains("open to other users"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(usual)).unwrap();
    }
    assert!(Authorities::existing(&place).is_ok());
}

#[test]
fn a_record_that_cannot_be_read_signs_nothing() {
    let (_above, place) = home();
    let authorities = Authorities::open(&place, &control(), None).unwrap();
    let csr = new_csr(&identity("web")).unwrap().csr_pem;
    let good = fs::read(place.join("authority.json")).unwrap();
    for junk in ["", "{}", "{", r#"{"signer":"../../etc"}"#] {
        disk::replace(&place.join("authority.json"), junk.as_bytes()).unwrap();
        assert!(authorities.sign_csr(&csr, &identity("web"), DAY).is_err(), "{junk:?}");
    }
    let elsewhere = String::from_utf8(good.clone()).unwrap().replace("\"1\"", "\"../x\"");
    disk::replace(&place.join("authority.json"), elsewhere.as_bytes()).unwrap();
    assert!(authorities.sign_csr(&csr, &identity("web"), DAY).is_err());
    disk::replace(&place.join("authority.json"), &good).unwrap();
    assert!(authorities.sign_csr(&csr, &identity("web"), DAY).is_ok());
}

#[test]
fn a_revoked_token_is_refused_by_who_has_the_directory_open() {
    let (_above, place) = home();
    let authorities = Authorities::open(&place, &control(), None).unwrap();
    let (server, offline) = (authorities.tokens().unwrap(), authorities.tokens().unwrap());
    let token = offline.create(&authorities, identity("web"), DAY).unwrap();
    assert_eq!(server.verify(&token.text).unwrap().identity(), &identity("web"));
    let other = offline.create(&authorities, identity("api"), DAY).unwrap();
    offline.revoke(token.claims.id()).unwrap();
    assert_eq!(server.verify(&token.text).unwrap_err(), TokenError::Revoked);
    assert!(server.verify(&other.text).is_ok());
    assert!(offline.revoke("0").is_err());
    let listed = server.list().unwrap();
    assert_eq!(listed.iter().map(|one| one.is_revoked).collect::<Vec<_>>(), [true, false]);
    let foreign = Identity::new("other", "ns", "web").unwrap();
    assert!(offline.create(&authorities, foreign, DAY).is_err());

    let list = place.join("tokens/tokens.json");
    fs::write(&list, "junk").unwrap();
    assert!(matches!(server.verify(&other.text), Err(TokenError::Unknown(_))));
    fs::remove_file(&list).unwrap();
    assert!(matches!(server.verify(&other.text), Err(TokenError::Unknown(_))));
}

#[test]
fn a_rotation_has_its_order() {
    let (_above, place) = home();
    let authorities = Authorities::open(&place, &control(), None).unwrap();
    let old = certified(&authorities, "web");
    assert!(authorities.finish(false).is_err(), "none is going on");
    authorities.begin(DAY, None).unwrap();
    assert!(matches!(authorities.standings().unwrap().0, Phase::Adding { .. }));
    assert!(authorities.begin(DAY, None).is_err());
    assert!(authorities.finish(true).is_err(), "the new one does not sign yet");
    assert_eq!(authorities.roots().unwrap().matches("BEGIN").count(), 2);
    assert_eq!(certified(&authorities, "web").chain()[0].issuer, old.chain()[0].issuer);
    let record = fs::read_to_string(place.join("authority.json")).unwrap();
    let mut record: record::Record = serde_json::from_str(&record).unwrap();
    record.next.as_mut().unwrap().signs_from = 1;
    disk::replace(&place.join("authority.json"), &serde_json::to_vec(&record).unwrap()).unwrap();

    let Phase::Retiring { leaves_until } = authorities.standings().unwrap().0 else { panic!() };
    assert!(leaves_until >= old.not_after());
    assert!(authorities.finish(false).is_err(), "old certificates are valid");
    authorities.finish(true).unwrap();
    assert_eq!(authorities.standings().unwrap().0, Phase::Stable);
    assert!(!place.join("ca/1").exists(), "the old key is gone");
    assert_eq!(authorities.roots().unwrap().matches("BEGIN").count(), 1);
    assert_eq!(Authorities::existing(&place).unwrap().standings().unwrap().1[0].name, "2");
}

/// Sidecars shake hands all the time, while trust and certificates reach them one by one.
#[test]
#[expect(clippy::too_many_lines, reason = "one rotation, from its begin to its end")]
fn a_root_rotates_under_load() {
    let (_above, place) = home();
    let authorities = Authorities::open(&place, &control(), None).unwrap();
    let old_leaf = certified(&authorities, "w0");
    let meshes: Vec<_> = (0..6)
        .map(|number| {
            let materials = certified(&authorities, &format!("w{number}"));
            MeshTls::new(materials, MeshTlsOptions::default())
        })
        .collect();
    let meshes = Arc::new(meshes);
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2_usize)
            .map(|seed| {
                let (meshes, is_over, done) = (&meshes, &is_over, &done);
                scope.spawn(move || {
                    let mut turn = seed;
                    while !is_over.load(Ordering::Relaxed) {
                        turn = turn.wrapping_mul(31).wrapping_add(7);
                        let (from, to) = (turn % 6, (turn / 6) % 6);
                        let expected = Expected::identities([&identity(&format!("w{to}"))]);
                        let client = meshes[from].client_config(&expected, alpn::HBONE).unwrap();
                        let server = meshes[to].server_config(alpn::HBONE).unwrap();
                        let pair = shake(&client, &server, "a.b").expect("a handshake failed");
                        meshes[to].client_of(&pair.1).unwrap();
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let wait = |more: u64| {
            let until = done.load(Ordering::Relaxed) + more;
            while done.load(Ordering::Relaxed) < until
                && !callers.iter().any(std::thread::ScopedJoinHandle::is_finished)
            {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        };
        let renew = || {
            for (number, mesh) in meshes.iter().enumerate() {
                mesh.rotate(certified(&authorities, &format!("w{number}")));
                wait(20);
            }
        };
        wait(50);
        authorities.begin(Duration::from_hours(1), None).unwrap();
        renew(); // of the old root, but trusting both
        let text = fs::read_to_string(place.join("authority.json")).unwrap();
        let mut record: record::Record = serde_json::from_str(&text).unwrap();
        record.next.as_mut().unwrap().signs_from = 1;
        let text = serde_json::to_vec(&record).unwrap();
        disk::replace(&place.join("authority.json"), &text).unwrap();
        renew(); // of the new root
        authorities.finish(true).unwrap();
        renew(); // trusting the new one alone
        wait(50);
        is_over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
    });
    assert!(done.load(Ordering::Relaxed) > 300);
    let late = MeshTls::new(old_leaf, MeshTlsOptions::default());
    let expected = Expected::identities([&identity("w1")]);
    let client = late.client_config(&expected, alpn::HBONE).unwrap();
    let server = meshes[1].server_config(alpn::HBONE).unwrap();
    assert!(shake(&client, &server, "a.b").is_err(), "a leaf of the old root is refused");
}

#[test]
fn two_trust_domains_do_not_vouch_for_each_other() {
    let ((_a, here), (_b, there)) = (home(), home());
    let ours = Authorities::open(&here, &control(), None).unwrap();
    let theirs = Authorities::open(&there, &control(), None).unwrap();
    let (ours, theirs) = (certified(&ours, "web"), certified(&theirs, "web"));
    ours.check_trusted().unwrap();
    let ours = MeshTls::new(ours, MeshTlsOptions::default());
    let theirs = MeshTls::new(theirs, MeshTlsOptions::default());
    let expected = Expected::identities([&identity("web")]);
    for (client, server) in [(&ours, &theirs), (&theirs, &ours)] {
        let client = client.client_config(&expected, alpn::HBONE).unwrap();
        assert!(shake(&client, &server.server_config(alpn::HBONE).unwrap(), "a.b").is_err());
    }
}

#[test]
fn an_authority_is_plugged_in_and_stays() {
    let (above, place) = home();
    let root = Authority::create("td", DAY).unwrap();
    let plugged = above.path().join("cacerts");
    let write = |name: &str, text: &str| {
        fs::write(plugged.join(name), text).unwrap();
        fs::set_permissions(plugged.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    fs::create_dir(&plugged).unwrap();
    let own = root.root_pem();
    let other = Authority::create("td", DAY).unwrap();
    for (name, certificate, key, chain, roots) in [
        ("key of another", own, other.key_pem(), own, own),
        ("root of another", own, root.key_pem(), own, other.root_pem()),
        ("no root", own, root.key_pem(), own, ""),
        ("junk", "junk", root.key_pem(), own, own),
    ] {
        write("ca-cert.pem", certificate);
        write("ca-key.pem", &key);
        write("cert-chain.pem", chain);
        write("root-cert.pem", roots);
        let refused = Authorities::open(&place, &control(), Some(&plugged));
        assert!(refused.is_err(), "{name}");
    }
    write("ca-cert.pem", own);
    write("root-cert.pem", own);
    let authorities = Authorities::open(&place, &control(), Some(&plugged)).unwrap();
    assert_eq!(authorities.roots().unwrap().replace('\r', ""), own.replace('\r', ""));
    certified(&authorities, "web").check_trusted().unwrap();
    assert!(Authorities::open(&place, &control(), Some(&plugged)).is_ok());

    write("ca-cert.pem", other.root_pem());
    write("ca-key.pem", &other.key_pem());
    write("cert-chain.pem", other.root_pem());
    write("root-cert.pem", other.root_pem());
    let refused = Authorities::open(&place, &control(), Some(&plugged)).unwrap_err().to_string();
    assert!(refused.contains("rotate-root begin"), "{refused}");
    authorities.begin(DAY, Some(&plugged)).unwrap();
    assert!(Authorities::open(&place, &control(), Some(&plugged)).is_ok());
}

const CHILD: &str = "MESHCORE_TEST_STORE";

/// Runs in the process that is killed.
#[test]
fn writes_until_it_is_killed() {
    let Some(place) = std::env::var_os(CHILD) else { return };
    let authorities = Authorities::open(Path::new(&place), &control(), None).unwrap();
    let tokens = authorities.tokens().unwrap();
    loop {
        let token = tokens.create(&authorities, identity("web"), DAY).unwrap();
        let mut line = format!("\nmade {}\n", token.text).into_bytes();
        std::io::Write::write_all(&mut std::io::stdout(), &line).unwrap();
        line.clear();
        let _ = authorities.begin(Duration::ZERO, None);
        certified(&authorities, "web").check_trusted().unwrap();
        let _ = authorities.finish(true);
    }
}

#[test]
fn a_kill_loses_nothing_that_was_promised() {
    let (_above, place) = home();
    let mut promised = Vec::new();
    for round in 0..25_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::tests::writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, &place)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut found = lines.by_ref().map_while(Result::ok);
        promised.extend(found.find_map(|line| line.strip_prefix("made ").map(str::to_owned)));
        std::thread::park_timeout(Duration::from_micros(round * 700));
        child.kill().unwrap();
        child.wait().unwrap();
        let rest = lines.map_while(Result::ok);
        promised.extend(rest.filter_map(|line| line.strip_prefix("made ").map(str::to_owned)));
        let authorities = Authorities::open(&place, &control(), None).unwrap();
        certified(&authorities, "web").check_trusted().unwrap();
        let tokens = authorities.tokens().unwrap();
        for token in promised.iter().filter(|token| token.ends_with(|c: char| c != '.')) {
            let verified = tokens.verify(token);
            // The last line may have been cut.
            let is_cut = matches!(&verified, Err(TokenError::Malformed(_) | TokenError::Signature));
            assert!(verified.is_ok() || is_cut, "round {round}: {verified:?}");
        }
    }
    assert!(promised.len() >= 25);
    let leftover = fs::read_dir(&place).unwrap().flatten().map(|entry| entry.file_name());
    let _lock = disk::lock(&place).unwrap();
    assert!(leftover.count() <= 6);
    let unfinished = fs::read_dir(place.join("ca")).unwrap().flatten();
    assert!(unfinished.into_iter().all(|one| !one.file_name().to_string_lossy().ends_with(".new")));
}
