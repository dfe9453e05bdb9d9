'use strict';

// Makes the tables and fills the shop through Vendure's own importer: node populate.js products.csv

const { bootstrap } = require('@vendure/core');
const { populate } = require('@vendure/core/cli');
const { config } = require('./config');

const initialData = {
    defaultLanguage: 'en',
    defaultZone: 'Europe',
    countries: [{ code: 'GB', name: 'United Kingdom', zone: 'Europe' }],
    taxRates: [{ name: 'Standard Tax', percentage: 20 }],
    shippingMethods: [{ name: 'Standard Shipping', price: 500 }],
    paymentMethods: [
        {
            name: 'Dummy Payment',
            handler: { code: 'dummy-payment-handler', arguments: [{ name: 'automaticSettle', value: 'true' }] },
        },
    ],
    collections: [{ name: 'Everything', slug: 'everything', filters: [] }],
};

populate(() => bootstrap(config), initialData, process.argv[2])
    .then(app => app.close())
    .then(
        () => process.exit(0),
        error => {
            console.error(error);
            process.exit(1);
        },
    );
