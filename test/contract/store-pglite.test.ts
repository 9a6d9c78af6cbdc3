import { openTestDatabase } from '../support/database.ts'
import { storeContract } from './store.suite.ts'

storeContract({
  name: 'PGlite',
  open: () => openTestDatabase('pglite'),
  cannot: { 'hold a transaction open beside another one': 'it has one connection' },
})
