impl Inventory {
    async fn reserve(&self, cx: &Branch, req: Reserve) -> Tried<Hold, StockError> {
        self.take(req).await
    }
    async fn release(&self, cx: &Branch, req: Reserve, hold: Option<Hold>) -> Settled {
        self.put_back(req, hold).await
    }
    async fn receipt(&self, cx: &Branch, receipt: Receipt) -> Settled {
        self.send(receipt).await
    }
}
/// The action `inventory.reserve` of [`Inventory`], version 3.
#[allow(dead_code, unreachable_pub)]
struct InventoryReserve;
#[automatically_derived]
impl ::tcc_core::ActionType for InventoryReserve {
    const NAME: &'static ::core::primitive::str = "inventory.reserve";
    const VERSION: ::core::primitive::u16 = 3u16;
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
        ::core::future::ready(::core::result::Result::Ok(()))
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
/// The action `inventory.receipt` of [`Inventory`], version 2.
#[allow(dead_code, unreachable_pub)]
struct InventoryReceipt;
#[automatically_derived]
impl ::tcc_core::ActionType for InventoryReceipt {
    const NAME: &'static ::core::primitive::str = "inventory.receipt";
    const VERSION: ::core::primitive::u16 = 2u16;
    const ON_CONFIRM: ::core::primitive::bool = true;
    type Request = Receipt;
    type Output = ();
    type Error = ::tcc_core::Never;
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl ::tcc_core::Handler<InventoryReceipt> for Inventory
where
    Inventory: ::core::marker::Send + ::core::marker::Sync,
{
    fn r#try(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <InventoryReceipt as ::tcc_core::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Tried<
            <InventoryReceipt as ::tcc_core::ActionType>::Output,
            <InventoryReceipt as ::tcc_core::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
    fn confirm(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <InventoryReceipt as ::tcc_core::ActionType>::Request,
        __output: <InventoryReceipt as ::tcc_core::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        Self::receipt(self, __cx, __request)
    }
    fn cancel(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <InventoryReceipt as ::tcc_core::ActionType>::Request,
        __output: ::core::option::Option<
            <InventoryReceipt as ::tcc_core::ActionType>::Output,
        >,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
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
        ::tcc_core::Registry::add_upcast::<
            InventoryReserve,
            v1::Reserve,
            v1::Hold,
            Self,
        >(__registry, 1u16, ::core::clone::Clone::clone(&self));
        ::tcc_core::Registry::add_upcast::<
            InventoryReserve,
            v2::Reserve,
            <InventoryReserve as ::tcc_core::ActionType>::Output,
            Self,
        >(__registry, 2u16, ::core::clone::Clone::clone(&self));
        ::tcc_core::Registry::add::<
            InventoryReceipt,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
        ::tcc_core::Registry::add_upcast::<
            InventoryReceipt,
            String,
            <InventoryReceipt as ::tcc_core::ActionType>::Output,
            Self,
        >(__registry, 1u16, ::core::clone::Clone::clone(&self));
    }
}
/// The actions of [`Inventory`] as branches of a transaction: what `tx.on` returns.
#[allow(dead_code, unreachable_pub)]
pub struct InventoryStub<'t>(&'t ::tcc_core::Tx);
#[allow(dead_code, unreachable_pub, private_interfaces)]
impl<'t> InventoryStub<'t> {
    /// Calls `inventory.reserve`.
    pub fn reserve(
        &self,
        req: Reserve,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<Hold, ::tcc_core::BranchError<StockError>>,
    > + ::core::marker::Send + use<'t> {
        ::tcc_core::Tx::call::<InventoryReserve>(self.0, req)
    }
    /// Calls `inventory.receipt`.
    pub fn receipt(
        &self,
        receipt: Receipt,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::tcc_core::TransactionError>,
    > + ::core::marker::Send + use<'t> {
        let __tx = self.0;
        async move { ::tcc_core::Tx::enlist::<InventoryReceipt>(__tx, receipt) }
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
