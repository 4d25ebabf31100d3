use super::*;

fn cron(text: &str) -> Cron {
    Cron::parse(text).expect("a good expression")
}

fn bad(text: &str) -> (String, String) {
    let error = Cron::parse(text).expect_err("a bad expression");
    (error.to_string(), error.fix().unwrap_or_default().to_owned())
}

fn numbers(has: impl Fn(u32) -> bool) -> Vec<u32> {
    (0..64).filter(|n| has(*n)).collect()
}

#[test]
fn fields_name_numbers() {
    let every = cron("*/15 8-10,20 1,15 jan-mar *");
    assert_eq!(numbers(|n| every.has_second(n)), [0]);
    assert_eq!(numbers(|n| every.has_minute(n)), [0, 15, 30, 45]);
    assert_eq!(numbers(|n| every.has_hour(n)), [8, 9, 10, 20]);
    assert_eq!(numbers(|n| every.has_month(n)), [1, 2, 3]);
    assert_eq!(numbers(|n| cron("5/20 * * * *").has_minute(n)), [5, 25, 45]);
    assert_eq!(numbers(|n| cron("10-30/10 * * * *").has_minute(n)), [10, 20, 30]);
    let seconds = cron("*/30 1 2 * * *");
    assert_eq!(numbers(|n| seconds.has_second(n)), [0, 30]);
    assert_eq!((numbers(|n| seconds.has_minute(n)), numbers(|n| seconds.has_hour(n))), (vec![1], vec![2]));
    assert!(cron("0 * * * *").has_every_hour() && !cron("0 1-23 * * *").has_every_hour());
}

#[test]
fn weekdays_have_names_and_two_sundays() {
    let days = |text: &str| (0..7).filter(|day| cron(text).has_day(1, 31, *day)).collect::<Vec<_>>();
    assert_eq!(days("0 0 * * MON-fri"), [1, 2, 3, 4, 5]);
    assert_eq!(days("0 0 * * 7"), [0]);
    assert_eq!(days("0 0 * * 5-7"), [0, 5, 6]);
    assert_eq!(days("0 0 * * */2"), [0, 2, 4, 6]);
    assert_eq!(days("0 0 ? * ?"), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_day_fits_one_of_two_fields_or_both() {
    let either = cron("0 0 13 * fri");
    assert!(either.has_day(13, 31, 1) && either.has_day(2, 31, 5) && !either.has_day(2, 31, 1));
    let both = cron("0 0 */2 * fri");
    assert!(both.has_day(13, 31, 5) && !both.has_day(13, 31, 1) && !both.has_day(2, 31, 5));
    let last = cron("0 0 L * *");
    assert!(last.has_day(28, 28, 0) && !last.has_day(28, 29, 0) && last.has_day(29, 29, 3));
    assert!(cron("0 0 1,L * *").has_day(1, 30, 0));
}

#[test]
fn words_stand_for_expressions() {
    assert_eq!(cron("@daily"), cron("0 0 * * *"));
    assert_eq!(cron(" @Hourly "), cron("0 * * * *"));
    assert_eq!(cron("@weekly"), cron("0 0 * * sun"));
    assert!(bad("@reboot").0.starts_with("@reboot is not known"));
}

#[test]
fn mistakes_say_where_and_what_to_write() {
    assert_eq!(bad("0 25 * * *").0, r#"hour 25 is out of range 0-23 in cron "0 25 * * *""#);
    assert_eq!(bad("61 * * * *").0, r#"minute 61 is out of range 0-59 in cron "61 * * * *""#);
    assert_eq!(bad("0 0 0 * *").0, r#"day 0 is out of range 1-31 in cron "0 0 0 * *""#);
    assert_eq!(bad("0 0 * 13 *").0, r#"month 13 is out of range 1-12 in cron "0 0 * 13 *""#);
    assert_eq!(bad("0 0 * * 8").0, r#"weekday 8 is out of range 0-7 in cron "0 0 * * 8""#);
    assert_eq!(
        bad("0 0 * * wen"),
        (
            r#""wen" is no weekday in cron "0 0 * * wen""#.into(),
            "write 0-7, or a name from sun to sat".into()
        )
    );
    assert_eq!(bad("0 22-4 * * *").1, "write 22-23,0-4");
    assert!(bad("* * * *").0.starts_with("4 fields instead of 5"));
    assert!(bad("").0.starts_with("0 fields"));
    assert!(bad("0 0 1 1 * 2027 *").0.starts_with("7 fields"));
    assert!(bad("*/0 * * * *").0.starts_with("the step of the minutes is 0"));
    assert!(bad("*/90 * * * *").0.contains("only 0 is left"));
    assert!(bad("*/x * * * *").1.contains("*/5"));
    for text in
        ["1, * * * *", ", * * * *", "-1 * * * *", "1- * * * *", "1-2-3 * * * *", "? * * * *", "0 0 L L *"]
    {
        bad(text);
    }
}

#[test]
fn what_never_comes_is_a_mistake() {
    assert!(bad("0 0 30 2 *").0.contains("never comes"));
    assert!(bad("0 0 31 4,6,9,11 *").0.contains("never comes"));
    cron("0 0 29 2 *");
    cron("0 0 30,L 2 *");
    cron("0 0 30 2 mon");
    cron("0 0 31 2,3 *");
}
