impl<C: Clock, const N: usize> Ledger<C, N>
where
    C: Clone,
{
    /// A step of a saga: nothing is left to confirm.
    #[cfg(feature = "booking")]
    #[deprecated = "post instead"]
    pub(crate) async fn book(
        &self,
        cx: &Branch,
        (amount, account): (u64, String),
    ) -> BookAnswer {
        self.post(cx, amount, account).await
    }
    async fn reverse(
        &self,
        cx: &Branch,
        req: (u64, String),
        entry: Option<Entry>,
    ) -> Settled {
        self.unpost(cx, req, entry).await
    }
    async fn check_limit(
        &self,
        cx: &Branch,
        limit: u64,
    ) -> tcc_core::Tried<(), LimitError> {
        self.check(cx, req).await
    }
}
#[cfg(feature = "booking")]
/// The action `ledger.book` of [`Ledger`], version 1.
///
/// A step of a saga: nothing is left to confirm.
#[allow(dead_code, unreachable_pub)]
pub(crate) struct LedgerBook;
#[cfg(feature = "booking")]
#[automatically_derived]
impl ::tcc_core::ActionType for LedgerBook {
    const NAME: &'static ::core::primitive::str = "ledger.book";
    const VERSION: ::core::primitive::u16 = 1u16;
    type Request = (u64, String);
    type Output = <BookAnswer as ::tcc_core::__private::TryAnswer>::Output;
    type Error = <BookAnswer as ::tcc_core::__private::TryAnswer>::Error;
}
#[cfg(feature = "booking")]
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl<C: Clock, const N: usize> ::tcc_core::Handler<LedgerBook> for Ledger<C, N>
where
    C: Clone,
    Ledger<C, N>: ::core::marker::Send + ::core::marker::Sync + 'static,
{
    fn r#try(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <LedgerBook as ::tcc_core::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Tried<
            <LedgerBook as ::tcc_core::ActionType>::Output,
            <LedgerBook as ::tcc_core::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        Self::book(self, __cx, __request)
    }
    fn confirm(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <LedgerBook as ::tcc_core::ActionType>::Request,
        __output: <LedgerBook as ::tcc_core::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
    fn cancel(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <LedgerBook as ::tcc_core::ActionType>::Request,
        __output: ::core::option::Option<<LedgerBook as ::tcc_core::ActionType>::Output>,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        Self::reverse(
            self,
            __cx,
            __request,
            ::tcc_core::__private::Output::<Option<Entry>>::given(__output),
        )
    }
}
/// The action `ledger.limit` of [`Ledger`], version 3.
#[allow(dead_code, unreachable_pub)]
struct LedgerCheckLimit;
#[automatically_derived]
impl ::tcc_core::ActionType for LedgerCheckLimit {
    const NAME: &'static ::core::primitive::str = "ledger.limit";
    const VERSION: ::core::primitive::u16 = 3u16;
    type Request = u64;
    type Output = ();
    type Error = LimitError;
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl<C: Clock, const N: usize> ::tcc_core::Handler<LedgerCheckLimit> for Ledger<C, N>
where
    C: Clone,
    Ledger<C, N>: ::core::marker::Send + ::core::marker::Sync + 'static,
{
    fn r#try(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <LedgerCheckLimit as ::tcc_core::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Tried<
            <LedgerCheckLimit as ::tcc_core::ActionType>::Output,
            <LedgerCheckLimit as ::tcc_core::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        Self::check_limit(self, __cx, __request)
    }
    fn confirm(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <LedgerCheckLimit as ::tcc_core::ActionType>::Request,
        __output: <LedgerCheckLimit as ::tcc_core::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
    fn cancel(
        &self,
        __cx: &::tcc_core::Branch,
        __request: <LedgerCheckLimit as ::tcc_core::ActionType>::Request,
        __output: ::core::option::Option<
            <LedgerCheckLimit as ::tcc_core::ActionType>::Output,
        >,
    ) -> impl ::core::future::Future<
        Output = ::tcc_core::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds)]
impl<C: Clock, const N: usize> ::tcc_core::Service for Ledger<C, N>
where
    C: Clone,
    Ledger<C, N>: ::core::marker::Send + ::core::marker::Sync + 'static,
{
    fn register(self: ::std::sync::Arc<Self>, __registry: &mut ::tcc_core::Registry) {
        #[cfg(feature = "booking")]
        ::tcc_core::Registry::add::<
            LedgerBook,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
        ::tcc_core::Registry::add::<
            LedgerCheckLimit,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
    }
}
/// The actions of [`Ledger`] as branches of a transaction: what `tx.on` returns.
#[allow(dead_code, unreachable_pub)]
pub struct LedgerStub<'t>(&'t ::tcc_core::Tx);
#[allow(dead_code, unreachable_pub, private_interfaces)]
impl<'t> LedgerStub<'t> {
    #[cfg(feature = "booking")]
    /// A step of a saga: nothing is left to confirm.
    #[deprecated = "post instead"]
    pub fn book(
        &self,
        __request: (u64, String),
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<
            <BookAnswer as ::tcc_core::__private::TryAnswer>::Output,
            ::tcc_core::BranchError<
                <BookAnswer as ::tcc_core::__private::TryAnswer>::Error,
            >,
        >,
    > + ::core::marker::Send + use<'t> {
        ::tcc_core::Tx::call::<LedgerBook>(self.0, __request)
    }
    /// Calls `ledger.limit`.
    pub fn check_limit(
        &self,
        limit: u64,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), ::tcc_core::BranchError<LimitError>>,
    > + ::core::marker::Send + use<'t> {
        ::tcc_core::Tx::call::<LedgerCheckLimit>(self.0, limit)
    }
}
#[automatically_derived]
impl<C: Clock, const N: usize> ::tcc_core::Participant for Ledger<C, N>
where
    C: Clone,
    Ledger<C, N>: ::core::marker::Send + ::core::marker::Sync + 'static,
{
    const NAME: &'static ::core::primitive::str = "ledger";
    type Stub<'t> = LedgerStub<'t>;
    fn stub(__tx: &::tcc_core::Tx) -> LedgerStub<'_> {
        LedgerStub(__tx)
    }
}
