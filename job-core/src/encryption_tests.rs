//! What a store cannot do to encrypted arguments.

use super::*;
use crate::Action;

const SECRET: &[u8] = br#"{"card":"4111 1111"}"#;

fn key(byte: u8) -> SecretKey {
    SecretKey::new([byte; 32])
}

fn ring(id: &str, byte: u8) -> Keyring {
    Keyring::new(id, key(byte)).expect("a good id")
}

fn job() -> NewJob {
    NewJob::new(Kind::from_static("charge"), QueueName::from_static("money"), SECRET)
}

fn sealed(encryption: &Encryption) -> NewJob {
    let mut job = job();
    encryption.enqueue(&mut job).expect("encrypts");
    assert!(!job.payload.windows(4).any(|w| w == b"4111"), "it is readable");
    job
}

fn open(encryption: &Encryption, job: &NewJob) -> Result<Bytes, String> {
    let bound = Bound::of(job);
    match sealed::parse(&job.payload) {
        Some(sealed) => encryption.keys.open(&sealed, &bound).map(Bytes::from),
        None => encryption.open(&JobContext::test(), job.payload.clone()).map_err(|e| {
            assert_eq!(e.action(), Action::Permanent);
            e.report()
        }),
    }
}

#[test]
fn arguments_come_back_and_no_two_envelopes_are_the_same() {
    let encryption = Encryption::new(ring("k1", 1));
    let (one, two) = (sealed(&encryption), sealed(&encryption));
    assert_ne!(one.payload, two.payload);
    assert_eq!(open(&encryption, &one).expect("opens"), SECRET);
    assert_eq!(open(&encryption, &two).expect("opens"), SECRET);
    let added = one.payload.len() - SECRET.len();
    assert_eq!(added, MAGIC.len() + 1 + "k1".len() + NONCE + 16);
    // The longest key id makes the most of it; the docs name the figure.
    assert_eq!(added - 2 + 64, 113);
}

#[test]
fn an_envelope_opens_for_its_own_job_only() {
    let encryption = Encryption::new(ring("k1", 1));
    let mine = sealed(&encryption);
    let steals: [fn(&mut NewJob); 3] = [
        |job| job.id = JobId::new(),
        |job| job.kind = Kind::from_static("refund"),
        |job| job.queue = QueueName::from_static("other"),
    ];
    for steal in steals {
        let mut stolen = mine.clone();
        steal(&mut stolen);
        let error = open(&encryption, &stolen).expect_err("it belongs to another job");
        assert!(error.contains("belong to another job"), "{error}");
        let error = encryption.enqueue(&mut stolen).expect_err("neither is it stored").to_string();
        assert!(error.contains("the arguments of") && error.contains("do not decrypt"), "{error}");
    }
    // Where one part ends and the next begins counts as well.
    let ends = |kind, queue| {
        let (kind, queue) = (Kind::from_static(kind), QueueName::from_static(queue));
        Bound { id: mine.id, kind: &kind, queue: &queue }.data("k")
    };
    assert_ne!(ends("ab", "c"), ends("a", "bc"));
}

#[test]
fn one_changed_bit_is_refused_wherever_it_is() {
    let encryption = Encryption::new(ring("k1", 1)).require();
    let good = sealed(&encryption);
    for bit in 0..good.payload.len() * 8 {
        let mut bytes = good.payload.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut changed = good.clone();
        changed.payload = bytes.into();
        open(&encryption, &changed).expect_err("changed");
    }
}

#[test]
fn keys_are_changed_without_a_gap() {
    let old = Encryption::new(ring("2025", 1));
    let ready = Encryption::new(ring("2025", 1).older("2026", key(2)).expect("another id"));
    let new = Encryption::new(ring("2026", 2).older("2025", key(1)).expect("another id"));
    let (before, after) = (sealed(&old), sealed(&new));
    assert_eq!(open(&new, &before).expect("an older key decrypts"), SECRET);
    assert_eq!(open(&ready, &after).expect("given first, used later"), SECRET);
    let error = open(&old, &after).expect_err("it lacks the key");
    assert!(error.contains(r#"with the key "2026", which is not in the keyring"#), "{error}");
    let forged = Encryption::new(ring("2025", 9));
    open(&forged, &before).expect_err("the id alone opens nothing");
}

#[test]
fn plain_arguments_run_unless_encryption_is_required() {
    let encryption = Encryption::new(ring("k1", 1));
    assert_eq!(open(&encryption, &job()).expect("from before"), SECRET);
    let error = open(&encryption.require(), &job()).expect_err("required");
    assert!(error.contains("encryption is required"), "{error}");
}

#[test]
fn a_job_that_passes_twice_is_encrypted_once() {
    let encryption = Encryption::new(ring("k1", 1));
    let once = sealed(&encryption);
    let mut twice = once.clone();
    encryption.enqueue(&mut twice).expect("it knows its own");
    assert_eq!(once, twice);
}

#[test]
fn no_text_shows_a_key() {
    let digits = "5e".repeat(32);
    let shown = [
        format!("{:?}", SecretKey::from_hex(&format!(" {digits}\n")).expect("a key")),
        format!("{:?}", Encryption::new(ring("k1", 0x5e))),
        SecretKey::from_hex(&digits[1..]).expect_err("too short").to_string(),
        SecretKey::from_hex(&digits.replace("5e5e5e5e", "5e5e5e5g")).expect_err("no digit").to_string(),
    ];
    for text in &shown {
        assert!(!text.contains("5e5e") && !text.contains("94, 94"), "{text}");
    }
    assert_eq!(shown[1], r#"Encryption { keys: ["k1"], require: false }"#);
}

#[test]
fn bad_keys_and_ids_are_refused() {
    for id in ["", "with space", "ü", &"x".repeat(65)] {
        Keyring::new(id, key(1)).expect_err("a bad id");
    }
    let twice = ring("k", 1).older("k", key(2)).expect_err("twice");
    assert!(twice.to_string().contains("given twice"), "{twice}");
    let (one, two) = (SecretKey::random().expect("chance"), SecretKey::random().expect("chance"));
    assert_ne!(*one.0, *two.0);
    assert_eq!(*SecretKey::from_hex(&"0F".repeat(32)).expect("a key").0, [15; 32]);
}
