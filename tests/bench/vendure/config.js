'use strict';

// A Vendure shop as its documentation sets one up, without pictures, mails and the dashboard.
// What differs from run to run comes from the environment.

const {
    DefaultJobQueuePlugin,
    DefaultLogger,
    DefaultSchedulerPlugin,
    DefaultSearchPlugin,
    LogLevel,
    dummyPaymentHandler,
} = require('@vendure/core');

// The benchmark adds to the same carts for seconds, which must not end at Vendure's 999.
const UNLIMITED = 1_000_000_000;

// The populate step makes the tables. It imports products one by one, and has them indexed all at once.
const isPopulating = process.argv[1].endsWith('populate.js');

const { VENDURE_PORT, VENDURE_DATABASE, VENDURE_DATABASE_HOST, VENDURE_DATABASE_USER, VENDURE_SECRET } = process.env;

/** @type {import('@vendure/core').VendureConfig} */
exports.config = {
    apiOptions: { hostname: '127.0.0.1', port: Number(VENDURE_PORT), shopApiPath: 'shop-api', adminApiPath: 'admin-api' },
    authOptions: {
        tokenMethod: 'bearer',
        requireVerification: false,
        superadminCredentials: { identifier: 'superadmin', password: VENDURE_SECRET },
    },
    dbConnectionOptions: {
        type: 'postgres',
        host: VENDURE_DATABASE_HOST,
        username: VENDURE_DATABASE_USER,
        database: VENDURE_DATABASE,
        synchronize: isPopulating,
        logging: false,
    },
    logger: new DefaultLogger({ level: LogLevel.Info, timestamp: true }),
    orderOptions: { orderItemsLimit: UNLIMITED, orderLineItemsLimit: UNLIMITED },
    paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
    plugins: [
        DefaultSchedulerPlugin.init(),
        DefaultJobQueuePlugin.init({ useDatabaseForBuffer: true }),
        DefaultSearchPlugin.init({ bufferUpdates: isPopulating, indexStockStatus: true }),
    ],
};
