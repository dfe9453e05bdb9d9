// The REST API, method by method.

import { send } from "./http.js";
import { call } from "./session.js";

/** @import { Brand, Cart, Category, Currency, Invitation, MergedCart, Order, OtpSent, Picked, Product, ProductPage, Profile, Registered, Sale, Session, Tokens, Transfer, User, UserAccess, Wallet } from "./types.js" */
/** @typedef {Record<string, unknown>} Json */
/** @typedef {{ users: User[], nextPageToken: string }} UserPage */
/** @typedef {{ orders: Order[], nextPageToken: string }} OrderPage */
/** @typedef {{ transfers: Transfer[], nextPageToken: string }} TransferPage */
/** @typedef {{ sales: Sale[], nextPageToken: string }} SalePage */
/** @typedef {import("./http.js").Query} Query */

const PAGE = 20;

/** @param {string} id */
const segment = (id) => encodeURIComponent(id);

export const auth = {
  /** @param {Json} body @param {string} key @returns {Promise<Registered>} */
  register: (body, key) => send("POST", "/api/auth/register", { body, key }),
  /** @param {Json} body @returns {Promise<OtpSent>} */
  sendOtp: (body) => send("POST", "/v1/auth/otp", { body }),
  /** @param {Json} body @returns {Promise<Registered>} */
  verifyOtp: (body) => send("POST", "/v1/auth/otp/verify", { body }),
  /** @param {Json} body @returns {Promise<Invitation>} */
  checkInvitation: (body) => send("POST", "/v1/auth/invitations/check", { body }),
  /** @param {Json} body @returns {Promise<Registered>} */
  acceptInvitation: (body) => send("POST", "/v1/auth/invitations/accept", { body }),
  /** @param {Json} body @returns {Promise<Tokens>} */
  login: (body) => send("POST", "/api/auth/login", { body }),
  /** @param {Json} body @returns {Promise<Tokens>} */
  verifyMfa: (body) => send("POST", "/v1/auth/mfa/verify", { body }),
  /** @param {Json} body @returns {Promise<Tokens>} */
  reauthenticate: (body) => call("POST", "/v1/auth/reauthenticate", { body }),
  /** @returns {Promise<{ secret: string, otpauthUri: string }>} */
  createTotp: () => call("POST", "/v1/users/me/totp", { body: {} }),
  /** @param {Json} body @returns {Promise<{ recoveryCodes: string[] }>} */
  confirmTotp: (body) => call("POST", "/v1/users/me/totp:confirm", { body }),
  deleteTotp: () => call("DELETE", "/v1/users/me/totp"),
  /** @param {boolean} allSessions */
  logout: (allSessions) => call("POST", "/v1/auth/logout", { body: { allSessions } }),
  /** @param {Json} body */
  verifyEmail: (body) => send("POST", "/v1/auth/email/verify", { body }),
  /** @returns {Promise<{ flowId: string }>} */
  sendEmailVerification: () => call("POST", "/v1/auth/email", { body: {} }),
  /** @param {Json} body @returns {Promise<{ flowId: string }>} */
  changeEmail: (body) => call("POST", "/v1/users/me/email", { body }),
  /** @param {Json} body @returns {Promise<{ flowId: string }>} */
  requestPasswordReset: (body) => send("POST", "/v1/auth/password-reset", { body }),
  /** @param {Json} body */
  resetPassword: (body) => send("POST", "/v1/auth/password-reset/confirm", { body }),
  /** @param {Json} body */
  changePassword: (body) => call("POST", "/v1/users/me/password", { body }),
};

export const users = {
  /** @returns {Promise<User>} */
  me: () => call("GET", "/v1/users/me"),
  /** @param {Query} query @returns {Promise<UserPage>} */
  list: (query) => call("GET", "/v1/users", { query: { pageSize: PAGE, ...query } }),
  /** @param {string} id @returns {Promise<User>} */
  disable: (id) => call("POST", `/v1/users/${segment(id)}:disable`, { body: {} }),
  /** @param {string} id @returns {Promise<User>} */
  enable: (id) => call("POST", `/v1/users/${segment(id)}:enable`, { body: {} }),
  /** @param {string} id @returns {Promise<User>} */
  promote: (id) => call("POST", `/v1/users/${segment(id)}:promote`, { body: {} }),
  /** @param {string} id @returns {Promise<User>} */
  demote: (id) => call("POST", `/v1/users/${segment(id)}:demote`, { body: {} }),
  /** @param {boolean} forfeitBalance whether the money in the wallet is given up */
  deleteMe: (forfeitBalance) => call("DELETE", "/v1/users/me", {
    query: { forfeitBalance: forfeitBalance ? "true" : undefined },
  }),
};

export const invitations = {
  /** @param {Json} body @returns {Promise<Invitation>} */
  create: (body) => call("POST", "/v1/invitations", { body }),
  /** @param {string} pageToken @returns {Promise<{ invitations: Invitation[], nextPageToken: string }>} */
  list: (pageToken) => call("GET", "/v1/invitations", { query: { pageSize: PAGE, pageToken } }),
  /** @param {string} id */
  end: (id) => call("DELETE", `/v1/invitations/${segment(id)}`),
};

export const sessions = {
  /** @returns {Promise<{ sessions: Session[] }>} */
  list: () => call("GET", "/v1/users/me/sessions"),
  /** @param {string} id */
  end: (id) => call("DELETE", `/v1/users/me/sessions/${segment(id)}`),
  endOthers: () => call("POST", "/v1/users/me/sessions:end", { body: {} }),
};

// What administrators see and do of the ways into the account of a user.
export const access = {
  /** @param {string} userId @returns {Promise<UserAccess>} */
  of: (userId) => call("GET", `/v1/users/${segment(userId)}/access`),
  /** @param {string} userId @returns {Promise<User>} */
  unlock: (userId) => call("POST", `/v1/users/${segment(userId)}:unlock`, { body: {} }),
  /** @param {string} userId @returns {Promise<User>} */
  resetMfa: (userId) => call("POST", `/v1/users/${segment(userId)}:resetMfa`, { body: {} }),
  /** @param {string} userId @param {string} id */
  endSession: (userId, id) => call("DELETE", `/v1/users/${segment(userId)}/sessions/${segment(id)}`),
  /** @param {string} userId */
  endSessions: (userId) => call("POST", `/v1/users/${segment(userId)}/sessions:end`, { body: {} }),
};

export const profiles = {
  /** @returns {Promise<Profile>} */
  me: () => call("GET", "/v1/profiles/me"),
  /** @param {Json} body @param {string} etag @returns {Promise<Profile>} */
  update: (body, etag) => call("PATCH", "/v1/profiles/me", {
    body: { ...body, etag }, query: { updateMask: Object.keys(body).join(",") },
  }),
  /** The brands of users, without those who have none. @param {string[]} userIds @returns {Promise<{ brands: { userId: string, brand: Brand }[] }>} */
  brandsOf: (userIds) => send("GET", "/v1/brands:batchGet", { query: { userIds } }),
  /** @param {string} id @param {Json} body @returns {Promise<Brand>} */
  updateBrand: (id, body) => call("PATCH", `/v1/brands/${segment(id)}`, {
    body, query: { updateMask: Object.keys(body).join(",") },
  }),
};

export const wallets = {
  /** @returns {Promise<Wallet>} */
  mine: () => call("GET", "/v1/wallets/me"),
  /** @param {string} userId @returns {Promise<Wallet>} */
  of: (userId) => call("GET", `/v1/wallets/${segment(userId)}`),
  /** @param {string} pageToken @param {string} [userId] @returns {Promise<TransferPage>} */
  transfers: (pageToken, userId = "me") => call("GET", `/v1/wallets/${segment(userId)}/transfers`, {
    query: { pageSize: PAGE, pageToken },
  }),
  /** @param {string} userId @param {string} id @param {Json} body @returns {Promise<Transfer>} */
  reverse: (userId, id, body) => call(
    "POST", `/v1/wallets/${segment(userId)}/transfers/${segment(id)}:reverse`, { body }),
  /** @param {string} userId @param {Json} body @param {string} key @returns {Promise<Transfer>} */
  topUp: (userId, body, key) => call("POST", `/v1/wallets/${segment(userId)}/transfers`, {
    body, key,
  }),
};

export const catalog = {
  /** Return all categories, however many pages they take. @param {AbortSignal} [signal] @param {number} [pageSize] @returns {Promise<Category[]>} */
  async categories(signal, pageSize) {
    const found = [];
    let pageToken = "";
    do {
      const page = await send("GET", "/v1/categories", { query: { pageToken, pageSize }, signal });
      found.push(...page.categories);
      pageToken = page.nextPageToken;
    } while (pageToken);
    return found;
  },
  /** @param {Json} body @param {string} key @returns {Promise<Category>} */
  createCategory: (body, key) => call("POST", "/v1/categories", { body, key }),
  /** @returns {Promise<Currency>} */
  currency: () => send("GET", "/v1/currency"),
  /** @param {Query} query @param {AbortSignal} [signal] @returns {Promise<ProductPage>} */
  products: (query, signal) => send("GET", "/v1/products", { query, signal }),
  /** What is not in the catalog is left out. @param {string[]} ids at most 100 @returns {Promise<{ products: Product[] }>} */
  productsOf: (ids) => send("GET", "/v1/products:batchGet", { query: { ids } }),
  /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Product>} */
  product: (id, signal) => send("GET", `/v1/products/${segment(id)}`, { signal }),
  /** @param {Json} body @param {string} key @returns {Promise<Product>} */
  createProduct: (body, key) => call("POST", "/v1/products", { body, key }),
  /** @param {string} id @param {Json} body with the etag that was read @returns {Promise<Product>} */
  updateProduct: (id, { etag, ...body }) => call("PATCH", `/v1/products/${segment(id)}`, {
    body: { ...body, etag }, query: { updateMask: Object.keys(body).join(",") },
  }),
  /** @param {string} id @param {number} delta @param {string} key @returns {Promise<Product>} */
  adjustStock: (id, delta, key) => call("POST", `/v1/products/${segment(id)}:adjustStock`, {
    body: { delta }, key,
  }),
  /** @param {string} id @param {Blob} image @returns {Promise<Product>} */
  setImage: (id, image) => call("POST", `/v1/products/${segment(id)}:setImage`, { file: image }),
  /** @param {string} id */
  deleteProduct: (id) => call("DELETE", `/v1/products/${segment(id)}`),
};

export const carts = {
  /** @returns {Promise<Cart>} */
  mine: () => call("GET", "/v1/cart"),
  /** @param {string} productId @param {number} quantity @param {string} key @returns {Promise<Cart>} */
  add: (productId, quantity, key) => call("POST", "/v1/cart/items", {
    body: { productId, quantity }, key,
  }),
  /** @param {string} productId @param {number} quantity @returns {Promise<Cart>} */
  setQuantity: (productId, quantity) => call("PATCH", `/v1/cart/items/${segment(productId)}`, {
    body: { quantity },
  }),
  /** @param {string} productId @returns {Promise<Cart>} */
  remove: (productId) => call("DELETE", `/v1/cart/items/${segment(productId)}`),
  /** @returns {Promise<Cart>} */
  clear: () => call("DELETE", "/v1/cart"),
  /** @param {Picked[]} items @returns {Promise<MergedCart>} */
  merge: (items) => call("POST", "/v1/cart:merge", { body: { items } }),
};

export const orders = {
  /** @param {Json} body @param {string} key @returns {Promise<Order>} */
  place: (body, key) => call("POST", "/v1/orders", { body, key }),
  /** @returns {Promise<Order>} */
  preview: () => call("POST", "/v1/orders", { body: { validateOnly: true } }),
  /** @param {string} id @returns {Promise<Order>} */
  get: (id) => call("GET", `/v1/orders/${segment(id)}`),
  /** @param {Query} query @returns {Promise<OrderPage>} */
  list: (query) => call("GET", "/v1/orders", { query: { pageSize: PAGE, ...query } }),
  /** @param {string} id @param {Picked[]} items none: all @param {string} key @returns {Promise<Order>} */
  cancel: (id, items, key) => call("POST", `/v1/orders/${segment(id)}:cancel`, { body: { items }, key }),
  /** @param {string} id @param {Json} body @param {string} key @returns {Promise<Order>} */
  fulfil: (id, body, key) => call("POST", `/v1/orders/${segment(id)}:fulfil`, { body, key }),
  /** @param {string} id @param {Json} body @param {string} key @returns {Promise<Order>} */
  refund: (id, body, key) => call("POST", `/v1/orders/${segment(id)}:refund`, { body, key }),
};

export const sales = {
  /** @param {Query} query @returns {Promise<SalePage>} */
  list: (query) => call("GET", "/v1/sales", { query: { pageSize: PAGE, ...query } }),
};
