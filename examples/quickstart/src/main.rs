//! A trip: its seats are sold and its price is charged, or neither. `cargo run -p quickstart`
#![expect(clippy::print_stdout, reason = "it shows what happens")]
use sqlx::{SqlitePool, query, query_scalar, sqlite::SqlitePoolOptions};
use tcc_core::{Branch, Coordinator, Settled, Tried, participant, refuse, store::MemoryStore};
use tcc_sqlx::{Fenced, sqlite::SqliteFence};

type Error = Box<dyn std::error::Error + Send + Sync>;
struct Train(SqlitePool); // each participant has a database of its own

#[participant("train")] // the name in the log, which stays when the type is renamed
impl Train {
    /// Try: puts seats aside. `fenced` gives each phase one effect, however often and in whatever order it is called.
    #[action(confirm = sell, cancel = release)]
    async fn hold(&self, cx: &Branch, seats: i64) -> Tried<(), String> {
        cx.fenced(&self.0, async |db| {
            let held = query("UPDATE seats SET free = free - ?1, held = held + ?1 WHERE free >= ?1");
            let held = held.bind(seats).execute(&mut *db).await?; // `?` means: unknown, cancel it
            if held.rows_affected() == 0 { refuse("sold out".into()) } else { Ok(()) } // a definite no
        })
        .await
    }
    /// Confirm: called until it succeeds, once every try has and the decision is durable.
    async fn sell(&self, cx: &Branch, seats: i64, (): ()) -> Settled {
        update(cx, &self.0, "UPDATE seats SET held = held - ?1, sold = sold + ?1", seats).await
    }
    /// Cancel: called until it succeeds, if anything failed, panicked, hung or was too late.
    async fn release(&self, cx: &Branch, seats: i64, _: Option<()>) -> Settled {
        update(cx, &self.0, "UPDATE seats SET held = held - ?1, free = free + ?1", seats).await
    }
}
struct Bank(SqlitePool);

#[participant("bank")]
impl Bank {
    #[action(cancel = give_back)] // without a confirm: the try has its effect at once, and cancel takes it back
    async fn charge(&self, cx: &Branch, price: i64) -> Tried<(), String> {
        cx.fenced(&self.0, async |db| {
            let paid = query("UPDATE account SET balance = balance - ?1 WHERE balance >= ?1");
            let paid = paid.bind(price).execute(&mut *db).await?;
            if paid.rows_affected() == 0 { refuse("too little money".into()) } else { Ok(()) }
        })
        .await
    }
    async fn give_back(&self, cx: &Branch, price: i64, _: Option<()>) -> Settled {
        update(cx, &self.0, "UPDATE account SET balance = balance + ?", price).await
    }
}
async fn update(cx: &Branch, db: &SqlitePool, sql: &'static str, number: i64) -> Settled {
    cx.fenced(db, async |db| Ok(query(sql).bind(number).execute(&mut *db).await.map(drop)?)).await
}
async fn open(table: &'static str) -> Result<SqlitePool, Error> {
    let db = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    query(table).execute(&db).await?;
    SqliteFence::new(db.clone()).migrate().await?; // the fence's table, beside hers
    Ok(db)
}
#[tokio::main]
async fn main() -> Result<(), Error> {
    let train = open("CREATE TABLE seats AS SELECT 10 AS free, 0 AS held, 0 AS sold").await?;
    let bank = open("CREATE TABLE account AS SELECT 100 AS balance").await?;
    // In production a store that outlives its process: RedisStore::connect("redis://…"), SqliteStore::open("log.db").
    let tcc = Coordinator::builder("trips", MemoryStore::new()).register(Train(train.clone()));
    let tcc = tcc.register(Bank(bank.clone())).start().await?;
    for seats in [2, 6] {
        let trip = tcc.run("trip", async |tx| {
            tx.on::<Train>().hold(seats).await?; // the branch is logged, then its try is called
            tx.on::<Bank>().charge(seats * 30).await?; // an `Err` of this body cancels what was tried
            Ok::<_, Error>(())
        });
        match trip.await {
            Ok(()) => println!("{seats} seats: confirmed"),
            Err(error) => println!("{seats} seats: cancelled, {error}"),
        }
    }
    tcc.shutdown().await; // waits for what is under way
    let free: i64 = query_scalar("SELECT free FROM seats").fetch_one(&train).await?;
    let balance: i64 = query_scalar("SELECT balance FROM account").fetch_one(&bank).await?;
    println!("{free} of 10 seats are free, {balance} of 100 are in the account");
    Ok(())
}
