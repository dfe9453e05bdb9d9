// Where everything is put together.

import { setProof } from "../api/client.js";
import { session } from "../api/session.js";
import { basket } from "./basket.js";
import { startRouter } from "./router.js";
import "./shell.js";

/** @type {import("./router.js").Route[]} */
const ROUTES = [
  { path: "/products", access: "anyone", load: () => import("../pages/products.js") },
  { path: "/products/:id", access: "anyone", load: () => import("../pages/product.js") },
  { path: "/sign-up", access: "guest", load: () => import("../pages/sign-up.js") },
  { path: "/sign-up/code", access: "guest", load: () => import("../pages/sign-up-code.js") },
  { path: "/sign-in", access: "guest", load: () => import("../pages/sign-in.js") },
  { path: "/invitation", access: "anyone", load: () => import("../pages/invitation.js") },
  { path: "/reset", access: "anyone", load: () => import("../pages/reset.js") },
  { path: "/verify", access: "user", load: () => import("../pages/verify.js") },
  { path: "/cart", access: "user", load: () => import("../pages/cart.js") },
  { path: "/checkout", access: "user", load: () => import("../pages/checkout.js") },
  { path: "/orders", access: "user", load: () => import("../pages/orders.js") },
  { path: "/orders/:id", access: "user", load: () => import("../pages/order.js") },
  { path: "/wallet", access: "user", load: () => import("../pages/wallet.js") },
  { path: "/profile", access: "user", load: () => import("../pages/profile.js") },
  { path: "/sessions", access: "user", load: () => import("../pages/sessions.js") },
  { path: "/sell", access: "user", load: () => import("../pages/admin-catalog.js") },
  { path: "/admin/catalog", access: "admin", load: () => import("../pages/admin-catalog.js") },
  { path: "/admin/invitations", access: "admin", load: () => import("../pages/admin-invitations.js") },
  { path: "/admin/users", access: "admin", load: () => import("../pages/admin-users.js") },
  { path: "/admin/users/:id", access: "admin", load: () => import("../pages/admin-user.js") },
];

setProof(async () => (await import("../pages/prove-again.js")).proveAgain());
session.start();
basket.start();
const main = document.getElementById("main");
if (main) startRouter(ROUTES, main);
