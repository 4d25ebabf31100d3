//! What `#[job]` writes, as text: a change of the expansion shows in review. `UPDATE_SNAPSHOTS=1` writes them anew.

use proc_macro2::TokenStream;
use std::path::Path;

/// Expands as the attribute does and compares with `snapshots/NAME.rs`.
fn check(name: &str, attr: &str, function: &str) {
    let tokens = |text: &str| text.parse::<TokenStream>().expect("the test gives Rust tokens");
    let expanded = crate::job_impl(tokens(attr), &tokens(function), || Ok(syn::parse_quote!(::steadfast)));
    let file = syn::parse2(expanded).expect("the expansion is a list of items");
    let attr = attr.split_whitespace().collect::<Vec<_>>().join(" ");
    let attr = if attr.is_empty() { attr } else { format!("({attr})") };
    let actual = format!("// #[job{attr}]\n{}", prettyplease::unparse(&file));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/snapshots/{name}.rs"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, actual).expect("the sources can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (old, new))) =
        expected.lines().zip(actual.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        panic!(
            "{name}.rs differs at line {}:\n- {old}\n+ {new}\n(UPDATE_SNAPSHOTS=1 writes it anew)",
            line + 1
        );
    }
    assert_eq!(expected.len(), actual.len(), "{name}.rs ends elsewhere (UPDATE_SNAPSHOTS=1 writes it anew)");
}

#[test]
fn plain() {
    check("plain", "", "async fn tick() {}");
}

#[test]
fn all_options() {
    check(
        "all_options",
        r#"name = "billing.charge", aliases = ["charge"], queue = Queues::EMAIL, priority = high, retries = 5,
            backoff(exponential, base = "2s", factor = 3, max = "1h", jitter = "none"), timeout = "90s", ttl = "2h", snoozes = 500, version = 2,
            idempotency(key = "customer.id", ttl = "36h", scope = queue), unique(key = "customer.id", scope = global),
            args = ChargeJob"#,
        "
        /// Charges a customer.
        pub async fn charge(
            /// Who pays.
            customer: Customer,
            note: Option<String>,
            #[serde(default = \"one\")] times: u8,
        ) -> JobResult {
            customer.charge(note, times).await
        }",
    );
}

#[test]
fn limits() {
    check(
        "limits",
        r#"limits = ["stripe", "mail.api"], concurrency = 50, rate_limit(key = "tenant", limit = "30/min", burst = 5),
            concurrency(key = "tenant", limit = 2), ordering_key = "tenant""#,
        "async fn charge(tenant: u64, id: u64) {}",
    );
}

#[test]
fn payload() {
    check(
        "payload",
        r#"version = 3, upgrade = older::card, redact = ["card_number", r#type]"#,
        "async fn charge(
            #[serde(rename = \"cents\", alias = \"amount\")] total: u64,
            card_number: String,
            r#type: Option<String>,
        ) {}",
    );
}

#[test]
fn injection() {
    check(
        "injection",
        r#"queue = "email", retries = unlimited, timeout = none"#,
        "pub(crate) async fn send(id: u64, State(mailer): State<Mailer>, ctx: JobContext) -> anyhow::Result<()> {
            mailer.send(id, ctx.idempotency_key()).await
        }",
    );
}

#[test]
fn blocking() {
    check(
        "blocking",
        "blocking",
        "fn hash(file: PathBuf, ctx: &JobContext) -> io::Result<()> { work(file, ctx) }",
    );
}

#[test]
fn keys() {
    check(
        "keys",
        r#"idempotency = "{tenant}:{order.id}{{x}}", unique = (tenant, order.id)"#,
        "async fn ship(tenant: String, order: Order) {}",
    );
    check(
        "key_calls",
        "idempotency = args, unique = |args| args.order.key()",
        "async fn ship(order: Order) {}",
    );
}

#[test]
fn conflicts() {
    check(
        "debounce",
        r#"debounce(key = "user_id", wait = "5s", max_wait = "1m", scope = queue)"#,
        "async fn sync(user_id: u64) {}",
    );
    check("latest", r#"latest = "user_id""#, "async fn sync(user_id: u64) {}");
}

#[test]
fn return_types() {
    check(
        "generic_return",
        "",
        "async fn count() -> Result<HashMap<String, Vec<u8>>, Box<dyn Error + Send + Sync>> { all().await }",
    );
}

#[test]
fn a_wrong_signature_leaves_a_stand_in() {
    check("fallback", "retries = 3", "fn send(to: &str, id: u64) {}");
}

#[test]
fn cron() {
    check(
        "cron",
        r#"cron("0 3 * * *", tz = "Europe/Berlin", overlap = skip, missed = all(10), jitter = "30s"), cron = "@hourly""#,
        "async fn digest() {}",
    );
}
