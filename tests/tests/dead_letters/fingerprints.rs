//! Equal failures have one fingerprint, others have others.

use job_core::Fingerprint;
use proptest::prelude::*;

/// What differs from job to job, as error texts have it.
fn ids() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        (any::<u32>(), 0..1_000_u32).prop_map(|(a, b)| format!("{a}.{b}")),
        any::<u64>().prop_map(|n| format!("{n:#x}")),
        any::<u64>().prop_map(|n| format!("{n:016x}")),
        any::<u128>().prop_map(|n| {
            let hex = format!("{n:032x}");
            [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
        }),
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|([a, b, c, d], port)| format!("{a}.{b}.{c}.{d}:{port}")),
        any::<u128>().prop_map(|n| std::net::Ipv6Addr::from(n).to_string()),
        (0..4_000_000_000_i64).prop_map(|s| jiff::Timestamp::from_second(s).expect("in range").to_string()),
        (0..4_000_000_000_000_i64)
            .prop_map(|ms| jiff::Timestamp::from_millisecond(ms).expect("in range").to_string()),
        "\"[a-z0-9 ]{0,20}\"",
        "`[^`\\\\]{0,20}`",
        "[a-z.]{1,10}@[a-z]{1,10}\\.(com|org)",
    ]
}

/// Words that no id looks like.
fn words() -> impl Strategy<Value = String> {
    "[g-z]{1,8}( [g-z]{1,8}){0,5}"
}

proptest! {
    #[test]
    fn errors_that_differ_in_ids_have_one_fingerprint(
        texts in prop::collection::vec(words(), 2..5),
        one in prop::collection::vec(ids(), 4),
        two in prop::collection::vec(ids(), 4),
        mark in "(:|,| at| =|: \\()",
    ) {
        let with = |ids: &[String]| {
            let parts: Vec<_> = texts.iter().zip(ids).map(|(t, id)| format!("{t}{mark} {id}")).collect();
            parts.join(" ")
        };
        let (one, two) = (with(&one), with(&two));
        prop_assert_eq!(Fingerprint::of_text(&one), Fingerprint::of_text(&two), "{}\n{}", one, two);
    }

    #[test]
    fn different_texts_have_different_fingerprints(one in words(), two in words(), id in ids()) {
        prop_assume!(one != two);
        let with = |text: &str| Fingerprint::of_text(&format!("{text}: {id}"));
        prop_assert_ne!(with(&one), with(&two));
    }

    #[test]
    fn any_text_has_one(text in any::<String>()) {
        let fingerprint = Fingerprint::of_text(&text);
        prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
}
