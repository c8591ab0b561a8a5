//! A transaction belongs to the trace of the span in which it begins, and so do its confirms and cancels: hours later,
//! and in another process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::Value;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tcc_core::protocol::{Status, TraceParent, TxId};
use tcc_core::store::MemoryStore;
use tcc_core::{
    ActionType, Branch, BranchError, Builder, Coordinator, Handler, Never, Registry, Service, Settled,
    TransactionError, Tried, Tx,
};
use tracing::Instrument;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

/// What a process exports, and what exports it.
struct Exported {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _guard: DefaultGuard,
}

impl Exported {
    /// Exports the spans of this thread. All of a test's tasks run on it.
    fn install() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self { exporter, provider, _guard: guard }
    }

    /// The spans that have ended.
    fn spans(&self) -> Vec<SpanData> {
        self.provider.force_flush().unwrap();
        self.exporter.get_finished_spans().unwrap()
    }

    fn named(&self, name: &str) -> SpanData {
        let spans = self.spans();
        let mut named = spans.iter().filter(|span| span.name == name);
        named.next().unwrap_or_else(|| panic!("no span {name:?} of {}", spans.len())).clone()
    }

    /// Of which trace and which parent the spans of a phase are.
    fn phase(&self, phase: &str) -> Vec<(TraceId, SpanId)> {
        let is = |span: &SpanData| {
            let is_phase = |key: &str, value: &Value| key == "phase" && value.as_str() == phase;
            span.name == "branch" && span.attributes.iter().any(|kv| is_phase(kv.key.as_str(), &kv.value))
        };
        let spans = self.spans();
        spans
            .iter()
            .filter(|span| is(span))
            .map(|span| (span.span_context.trace_id(), span.parent_span_id))
            .collect()
    }
}

#[derive(Default)]
struct Witness {
    told: Mutex<Vec<Option<TraceParent>>>,
    tried: AtomicU64,
    up: AtomicBool,
}

struct Seen;
impl ActionType for Seen {
    const NAME: &'static str = "witness.seen";
    type Request = ();
    type Output = ();
    type Error = Never;
}

impl Witness {
    fn settle(&self, cx: &Branch) -> Settled {
        self.told.lock().unwrap().push(cx.traceparent());
        if !self.up.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("down").into());
        }
        Ok(())
    }
}

impl Handler<Seen> for Witness {
    async fn r#try(&self, _: &Branch, (): ()) -> Tried<(), Never> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn confirm(&self, cx: &Branch, (): (), (): ()) -> Settled {
        self.settle(cx)
    }

    async fn cancel(&self, cx: &Branch, (): (), _: Option<()>) -> Settled {
        self.settle(cx)
    }
}

impl Service for Witness {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.add::<Seen, _>(self);
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Branch(#[from] BranchError<Never>),
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

async fn start(
    store: &Arc<MemoryStore>,
    witness: &Arc<Witness>,
    set: impl FnOnce(Builder) -> Builder,
) -> Coordinator {
    set(Coordinator::builder("test", store.clone()).register(witness.clone())).start().await.unwrap()
}

async fn see(tx: &Tx) -> Result<TxId, Error> {
    tx.call::<Seen>(()).await?;
    Ok(tx.id())
}

/// A process that begins a transaction in a span `request`, and dies with all its tasks when `is_enough` says so.
fn begin_and_die(
    store: &Arc<MemoryStore>,
    witness: &Arc<Witness>,
    hang: bool,
    is_enough: impl Fn(&Witness) -> bool + Send + 'static,
) -> (TraceId, SpanId) {
    let (store, witness) = (store.clone(), witness.clone());
    let dying = std::thread::spawn(move || {
        let exported = Exported::install();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let tcc = start(&store, &witness, |builder| builder).await;
            let request = tracing::info_span!("request");
            let body = async move |tx: &Tx| {
                see(tx).await?;
                if hang {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Error>(())
            };
            let running = tokio::spawn(async move { tcc.run("pay", body).await }.instrument(request));
            while !is_enough(&witness) {
                tokio::task::yield_now().await;
            }
            running.abort();
            let _ = running.await;
        });
        runtime.shutdown_background();
        let request = exported.named("request").span_context;
        (request.trace_id(), request.span_id())
    });
    dying.join().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_confirm_in_another_process_belongs_to_the_trace() {
    let (store, witness): (Arc<MemoryStore>, Arc<Witness>) = Default::default();
    let request = begin_and_die(&store, &witness, false, |witness| !witness.told.lock().unwrap().is_empty());
    let exported = Exported::install();
    let second = start(&store, &witness, |builder| builder).await;
    tokio::time::sleep(Duration::from_secs(2 * 60 * 60)).await;
    witness.up.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let confirms = exported.phase("confirm");
    assert!(confirms.len() > 10, "{}", confirms.len());
    assert!(confirms.iter().all(|confirm| *confirm == request), "{confirms:?}, begun in {request:?}");
    second.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_in_another_process_belongs_to_the_trace() {
    let (store, witness): (Arc<MemoryStore>, Arc<Witness>) = Default::default();
    witness.up.store(true, Ordering::SeqCst);
    let request = begin_and_die(&store, &witness, true, |witness| witness.tried.load(Ordering::SeqCst) > 0);
    let exported = Exported::install();
    let second = start(&store, &witness, |builder| builder).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(exported.phase("cancel"), [request]);
    second.shutdown().await;
}

/// The process that began it settles it on a task of its own, outside of its caller's span.
#[tokio::test(start_paused = true)]
async fn all_phases_in_the_same_process_belong_to_the_trace() {
    let (store, witness): (Arc<MemoryStore>, Arc<Witness>) = Default::default();
    witness.up.store(true, Ordering::SeqCst);
    let exported = Exported::install();
    let tcc = start(&store, &witness, |builder| builder).await;
    let id = tcc.run("pay", see).instrument(tracing::info_span!("request")).await.unwrap();
    assert_eq!(tcc.settled(id).await.unwrap(), Some(Status::Confirmed));
    let request = exported.named("request").span_context;
    assert_eq!(exported.phase("confirm"), [(request.trace_id(), request.span_id())]);
    // A try runs within the body, which runs within the request.
    let transaction = exported.named("transaction").span_context;
    assert_eq!(exported.phase("try"), [(request.trace_id(), transaction.span_id())]);
    let told = witness.told.lock().unwrap()[0].unwrap();
    assert_eq!(told.trace_id().to_be_bytes(), request.trace_id().to_bytes());
    assert_eq!(told.span_id().to_be_bytes(), request.span_id().to_bytes());
    assert!(told.is_sampled());
}

#[tokio::test(start_paused = true)]
async fn without_a_span_there_is_no_trace() {
    let (store, witness): (Arc<MemoryStore>, Arc<Witness>) = Default::default();
    witness.up.store(true, Ordering::SeqCst);
    let exported = Exported::install();
    let tcc = start(&store, &witness, |builder| builder).await;
    tcc.run("pay", see).await.unwrap();
    assert_eq!(*witness.told.lock().unwrap(), [None]);
    assert_eq!(exported.phase("confirm")[0].1, SpanId::INVALID, "a trace of its own");
}

/// What the program says goes before what the span says.
#[tokio::test(start_paused = true)]
async fn the_programs_own_trace_context_goes_first() {
    let (store, witness): (Arc<MemoryStore>, Arc<Witness>) = Default::default();
    witness.up.store(true, Ordering::SeqCst);
    let exported = Exported::install();
    let tcc =
        start(&store, &witness, |builder| builder.trace_context(|| TraceParent::new(7, 8, 1).ok())).await;
    tcc.run("pay", see).instrument(tracing::info_span!("request")).await.unwrap();
    assert_eq!(*witness.told.lock().unwrap(), [TraceParent::new(7, 8, 1).ok()]);
    let own = (TraceId::from_bytes(7_u128.to_be_bytes()), SpanId::from_bytes(8_u64.to_be_bytes()));
    assert_eq!(exported.phase("confirm"), [own]);
}
