impl Inventory {
    /// Puts stock aside until the order settles.
    async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> {
        self.put_aside(cx, req).await
    }
    async fn ship(&self, cx: &Branch, req: Reserve, hold: Hold) -> Settled {
        self.take(cx, req, hold).await
    }
    async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
        self.put_back(cx, req, hold).await
    }
}
/// The action `inventory.reserve` of [`Inventory`], version 1.
///
/// Puts stock aside until the order settles.
#[allow(dead_code, unreachable_pub)]
struct InventoryReserve;
#[automatically_derived]
impl ::tcc_core::ActionType for InventoryReserve {
    const NAME: &'static ::core::primitive::str = "inventory.reserve";
    const VERSION: ::core::primitive::u16 = 1u16;
    const TIMEOUT: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(
        ::core::time::Duration::from_millis(5000u64),
    );
    type Request = Reserve;
    type Output = Hold;
    type Error = StockError;
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl ::tcc_core::Handler<InventoryReserve> for Inventory
where
    Inventory: ::core::marker::Send + ::core::marker::Sync,
{
    fn r#try(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <InventoryReserve as ::tcc_core::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Tried<
            <InventoryReserve as ::tcc_core::ActionType>::Output,
            <InventoryReserve as ::tcc_core::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        Self::reserve(self, __cx, __request)
    }
    fn confirm(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <InventoryReserve as ::tcc_core::ActionType>::Request,
        __output: <InventoryReserve as ::tcc_core::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        Self::ship(self, __cx, __request, __output)
    }
    fn cancel(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <InventoryReserve as ::tcc_core::ActionType>::Request,
        __output: ::core::option::Option<
            <InventoryReserve as ::tcc_core::ActionType>::Output,
        >,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        Self::release(self, __cx, __request, __output)
    }
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds)]
impl ::tcc_core::Service for Inventory
where
    Inventory: ::core::marker::Send + ::core::marker::Sync,
{
    fn register(self: ::std::sync::Arc<Self>, __registry: &mut ::tcc_core::Registry) {
        ::tcc_core::Registry::add::<
            InventoryReserve,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
    }
}
/// The actions of [`Inventory`] as branches of a transaction: what `tx.on` returns.
#[allow(dead_code, unreachable_pub)]
pub struct InventoryStub<'t>(&'t ::tcc_core::Tx);
#[allow(dead_code, unreachable_pub, private_interfaces)]
impl<'t> InventoryStub<'t> {
    /// Puts stock aside until the order settles.
    pub fn reserve(
        &self,
        req: Reserve,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<Hold, ::tcc_core::BranchError<StockError>>,
    > + ::core::marker::Send + use<'t> {
        ::tcc_core::Tx::call::<InventoryReserve>(self.0, req)
    }
}
#[automatically_derived]
impl ::tcc_core::Participant for Inventory {
    const NAME: &'static ::core::primitive::str = "inventory";
    type Stub<'t> = InventoryStub<'t>;
    fn stub(__tx: &::tcc_core::Tx) -> InventoryStub<'_> {
        InventoryStub(__tx)
    }
}
