import { openTestDatabase } from '../support/database.ts'
import { storeContract } from './store.suite.ts'

storeContract({ name: 'PostgreSQL', open: () => openTestDatabase('postgres'), cannot: {} })
