// The messages of the REST API as JSON: what a page reads of them.

export interface Money {
  currencyCode: string;
  /** Whole units, an int64 and so a string. */
  units: string;
  /** Billionths of a unit. */
  nanos: number;
}

export interface Tokens {
  token: string;
  userId: string;
  email: string;
  /** Seconds. */
  expiresIn: number;
  refreshToken: string;
  /** Without the other tokens: the second factor is missing. */
  mfaToken?: string;
}

export interface Session {
  id: string;
  clientName?: string;
  address?: string;
  createTime: string;
  lastSeenTime: string;
  current?: boolean;
  secondFactor?: boolean;
}

export interface User {
  id: string;
  email: string;
  fullName: string;
  role: string;
  createTime: string;
  emailVerified: boolean;
  disabled: boolean;
  status: string;
  secondFactor?: boolean;
}

export interface UserAccess {
  user: User;
  sessions?: Session[];
  wrongPasswords?: number;
  places?: { wrongPasswords: number; waitUntil?: string }[];
  codes?: { purpose: string; sent?: number; wrong?: number }[];
  waitingMail?: { nextTryTime: string }[];
}

export interface Brand {
  id: string;
  name: string;
  description?: string;
  websiteUrl?: string;
  logoUrl?: string;
  brandType?: string;
  companySize: string;
  userRole: string;
}

export interface Profile {
  id: string;
  userId: string;
  firstName: string;
  lastName: string;
  displayName?: string;
  phoneNumber?: string;
  address?: string;
  bio?: string;
  avatarUrl?: string;
  course?: string;
  status: "pending" | "active" | "suspended";
  brand?: Brand;
  createTime: string;
  updateTime: string;
  etag: string;
}

export interface Registered {
  user: User;
  profile: Profile;
  brand?: Brand;
  verificationFlowId?: string;
}

export interface Invitation {
  id: string;
  email: string;
  role: "customer" | "creator" | "brand" | "student";
  expireTime: string;
}

export interface OtpSent {
  flowId: string;
  /** Seconds. */
  expiresIn: number;
  /** Seconds. */
  resendAfter: number;
}

export interface Category {
  id: string;
  name: string;
  description: string;
  createTime: string;
}

export interface Product {
  id: string;
  categoryId: string;
  category?: { id: string; name: string };
  sellerId?: string;
  name: string;
  description: string;
  price: Money;
  stock: number;
  imageUrl: string;
  thumbnailUrl?: string;
  createTime: string;
  updateTime: string;
  etag: string;
}

export interface ProductPage {
  products: Product[];
  nextPageToken: string;
  suggestions?: string[];
  metadata: {
    page: number;
    limit: number;
    total: number;
    totalIsLowerBound: boolean;
    totalPages: number;
  };
}

export interface CartItem {
  product: Product;
  quantity: number;
  unitPrice: Money;
  lineTotal: Money;
  problems: string[];
}

export interface Cart {
  userId: string;
  items: CartItem[];
  subtotal: Money;
  etag: string;
}

export interface Currency {
  /** Of ISO 4217. */
  code: string;
  digits: number;
}

/** A quantity of a product. */
export interface Picked {
  productId: string;
  quantity: number;
  /** Of the browser alone: the account whose cart it waits for. */
  userId?: string | undefined;
}

export interface MergedCart {
  cart: Cart;
  skipped: { productId: string; reason: string }[];
}

export interface OrderItem {
  productId: string;
  name: string;
  quantity: number;
  unitPrice: Money;
  lineTotal: Money;
  cancelledQuantity: number;
  fulfilled: boolean;
  returnedQuantity: number;
}

export interface Shipment {
  id: string;
  productIds: string[];
  items: Picked[];
  tracking: string;
  createTime: string;
}

export interface Refund {
  id: string;
  kind: string;
  items: Picked[];
  amount: Money;
  state: string;
  reason: string;
  createTime: string;
}

export interface Order {
  id: string;
  number: string;
  /** Empty for its sellers. */
  userId: string;
  state: string;
  items: OrderItem[];
  total: Money;
  refunded: Money;
  createTime: string;
  /** Absent unless it is paid, and for orders of 0.2. */
  payTime?: string;
  failureReason?: string;
  shippingAddress: string;
  shipments: Shipment[];
  refunds: Refund[];
}

/** A line of an order, as its seller sees it. */
export interface Sale {
  orderId: string;
  number: string;
  productId: string;
  name: string;
  quantity: number;
  cancelledQuantity: number;
  returnedQuantity: number;
  fulfilled: boolean;
  unitPrice: Money;
  share: Money;
  commission: Money;
  createTime: string;
  shippingAddress: string;
}

export interface Wallet {
  userId: string;
  balance: Money;
  /** The shares of sales that are not shipped yet. */
  pending: Money;
}

export interface Transfer {
  id: string;
  kind: string;
  amount: Money;
  state: string;
  reference: string;
  createTime: string;
  refusalReason?: string;
  originalId: string;
  balanceAfter?: Money;
}
