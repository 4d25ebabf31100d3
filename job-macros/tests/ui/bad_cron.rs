#![allow(unused)]
use job_macros::job;

#[job(cron = "0 25 * * *")]
async fn hour() {}

#[job(cron("0 22-4 * * *", tz = "Europe/Berlin"))]
async fn backwards() {}

#[job(cron)]
async fn nothing() {}

#[job(cron("* * * *"))]
async fn fields() {}

#[job(cron("0 3 * * *", tz = "Europe/Berln"))]
async fn zone() {}

#[job(cron("0 3 * * *", overlap = "skip", missed = all, jitter = 30))]
async fn words() {}

#[job(cron("0 3 * * *", jitter = "2d"), cron("0 4 * * *", missed = all(0)))]
async fn bounds() {}

#[job(cron(tz = "UTC"))]
async fn first() {}

#[job(cron("0 3 * * *", zone = "UTC"))]
async fn unknown() {}

#[job(cron = EVERY)]
async fn constant() {}

fn main() {}
