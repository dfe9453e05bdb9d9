// Where everything is put together.

import { session, setProof } from "../api/session.js";
import { basket } from "./basket.js";
import { startRouter } from "./router.js";
import "./shell.js";

/** @type {import("./router.js").Route[]} */
const ROUTES = [
  { path: "/", access: "anyone", load: () => import("../pages/home.js") },
  { path: "/products", access: "anyone", load: () => import("../pages/products.js") },
  { path: "/products/:id", access: "anyone", load: () => import("../pages/product.js") },
  { path: "/sign-up", access: "guest", load: () => import("../pages/sign-up.js") },
  { path: "/sign-up/code", access: "guest", load: () => import("../pages/sign-up-code.js") },
  { path: "/sign-in", access: "guest", load: () => import("../pages/sign-in.js") },
  { path: "/invitation", access: "anyone", load: () => import("../pages/invitation.js") },
  { path: "/reset", access: "anyone", load: () => import("../pages/reset.js") },
  { path: "/verify", access: "user", load: () => import("../pages/verify.js") },
  { path: "/cart", access: "anyone", load: () => import("../pages/cart.js") },
  { path: "/checkout", access: "user", load: () => import("../pages/checkout.js") },
  { path: "/orders", access: "user", load: () => import("../pages/orders.js") },
  { path: "/orders/:id", access: "user", load: () => import("../pages/order.js") },
  { path: "/wallet", access: "user", load: () => import("../pages/wallet.js") },
  { path: "/profile", access: "user", load: () => import("../pages/profile.js") },
  { path: "/sessions", access: "user", load: () => import("../pages/sessions.js") },
  { path: "/sell", access: "brand", load: () => import("../pages/sell-products.js") },
  { path: "/sell/new", access: "brand", load: () => import("../pages/sell-product.js") },
  { path: "/sell/products/:id", access: "brand", load: () => import("../pages/sell-product.js") },
  { path: "/sell/sales", access: "brand", load: () => import("../pages/sell-sales.js") },
  { path: "/admin/orders", access: "admin", load: () => import("../pages/admin-orders.js") },
  { path: "/admin/orders/:id", access: "admin", load: () => import("../pages/order.js") },
  { path: "/admin/catalog", access: "admin", load: () => import("../pages/admin-catalog.js") },
  { path: "/admin/invitations", access: "admin", load: () => import("../pages/admin-invitations.js") },
  { path: "/admin/catalog/new", access: "admin", load: () => import("../pages/sell-product.js") },
  { path: "/admin/catalog/:id", access: "admin", load: () => import("../pages/sell-product.js") },
  { path: "/admin/categories", access: "admin", load: () => import("../pages/admin-categories.js") },
  { path: "/admin/users", access: "admin", load: () => import("../pages/admin-users.js") },
  { path: "/admin/users/:id", access: "admin", load: () => import("../pages/admin-user.js") },
  { path: "/about", access: "anyone", load: () => import("../pages/about.js") },
  { path: "/delivery", access: "anyone", load: async () => ({ page: (await import("../pages/about.js")).delivery }) },
];

// The search comes after the page; if it does not come, it is asked for again with the next page.
addEventListener("pageshown", () => void import("../ui/search-box.js").catch(() => undefined));
setProof(async () => (await import("../pages/prove-again.js")).proveAgain());
session.start();
basket.start();
const main = document.getElementById("main");
if (main) startRouter(ROUTES, main);
