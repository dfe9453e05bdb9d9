"""What Vendure is asked in GraphQL: the fields that Lockstep's answers have, where it has them."""

from __future__ import annotations

from typing import Final

from tests.bench.rest import Headers, Request

PATH: Final = "/shop-api"

_PRODUCT: Final = "id name description variants { id priceWithTax stockLevel }"
ONE: Final = f"query($id: ID!) {{ product(id: $id) {{ {_PRODUCT} }} }}"
PAGE: Final = f"{{ products(options: {{ take: 20 }}) {{ totalItems items {{ {_PRODUCT} }} }} }}"
SEARCH: Final = """
{ search(input: { take: 20, groupByProduct: true }) {
    totalItems
    items {
        productId productVariantId productName description inStock
        priceWithTax { ... on SinglePrice { value } ... on PriceRange { min max } }
    }
} }
"""
_CART: Final = """
    code state totalQuantity totalWithTax
    lines {
        id quantity unitPriceWithTax linePriceWithTax
        productVariant { id name stockLevel product { description } }
    }
"""
_REFUSED: Final = "... on ErrorResult { errorCode message }"
ADD: Final = f"""
mutation($id: ID!) {{ addItemToOrder(productVariantId: $id, quantity: 1) {{
    ... on Order {{ {_CART} }} {_REFUSED}
}} }}
"""
EMPTY: Final = f"mutation {{ removeAllOrderLines {{ ... on Order {{ id }} {_REFUSED} }} }}"
QUANTITY: Final = "{ activeOrder { totalQuantity } }"
# What comes before an order can be placed.
CHECKOUT: Final = (
    f"""
mutation($email: String!) {{ setCustomerForOrder(
    input: {{ firstName: "Ada", lastName: "Lovelace", emailAddress: $email }}
) {{ ... on Order {{ id }} {_REFUSED} }} }}
""",
    f"""
mutation {{ setOrderShippingAddress(
    input: {{ streetLine1: "1 High Street", city: "London", postalCode: "N1", countryCode: "GB" }}
) {{ ... on Order {{ id }} {_REFUSED} }} }}
""",
    f"""
mutation($shipping: [ID!]!) {{ setOrderShippingMethod(shippingMethodId: $shipping) {{
    ... on Order {{ id }} {_REFUSED}
}} }}
""",
)
PLACE: Final = (
    f"""
mutation {{ transitionOrderToState(state: "ArrangingPayment") {{
    ... on Order {{ id state }} {_REFUSED}
}} }}
""",
    f"""
mutation {{ addPaymentToOrder(input: {{ method: "dummy-payment", metadata: {{}} }}) {{
    ... on Order {{ id state }} {_REFUSED}
}} }}
""",
)


def asked(query: str, who: Headers = (), **variables: object) -> Request:
    """Return a query in GraphQL; of the variables it gets those that it names."""
    used = {name: value for name, value in variables.items() if f"${name}:" in query}
    return Request(PATH, {"query": " ".join(query.split()), "variables": used}, who)
